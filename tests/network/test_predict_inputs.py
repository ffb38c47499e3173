"""What a pipeline takes, in either color order and of many sizes, and what it refuses."""

import numpy as np
import pytest
from golden import golden, recipe_pipeline
from PIL import Image

from maskflownet.config.errors import InputError

pytestmark = pytest.mark.usefixtures("thin_networks")


@pytest.fixture(scope="module")
def pipe():
    return recipe_pipeline("MaskFlownet_S")


@pytest.fixture(scope="module")
def images():
    """Return two pairs: two lists of (H, W, 3)."""
    arrays = golden("predict_MaskFlownet_S")
    return arrays["image1"], arrays["image2"]


def test_rgb_images_give_the_same_flow_and_an_rgb_warped_image(pipe, images):
    pair = [one[:1] for one in images]
    (bgr,) = pipe.predict(*pair)
    # As a reader of RGB gives them: the channels of one array reversed, not contiguous, read-only.
    reversed_pair = [[np.flip(image, axis=2) for image in one] for one in pair]
    (rgb,) = pipe.predict(*reversed_pair, color_order="rgb")
    np.testing.assert_array_equal(rgb.flow, bgr.flow)
    np.testing.assert_array_equal(rgb.warped, bgr.warped[..., ::-1])
    (wrong,) = pipe.predict(*reversed_pair)
    assert np.abs(wrong.flow - bgr.flow).mean() > 0.01
    (floats,) = pipe.predict(*([image / 255 for image in one] for one in pair))
    np.testing.assert_array_equal(floats.flow, bgr.flow)


def test_one_image_is_no_list_of_images(pipe):
    image = np.zeros((64, 64, 3), np.uint8)
    for images1, images2, name in (
        (image, [image], "images1"),
        ([image], image[..., 0], "images2"),
        ([image], "one.png", "images2"),
        (Image.fromarray(image), [image], "images1"),
    ):
        with pytest.raises(InputError, match=rf"{name}: expected a list of images.*\[image\]"):
            pipe.predict(images1, images2)
        with pytest.raises(InputError, match=rf"{name}: expected a list of images"):
            pipe.validate(images1, images2, [])
    batch = np.zeros((1, 64, 64, 3), np.uint8)
    assert len(list(pipe.predict(batch, batch))) == 1

    class Frames:  # as a PyTorch's dataset: what can be asked for by number can be iterated
        def __getitem__(self, index):
            return batch[index]

    assert len(list(pipe.predict(Frames(), Frames()))) == 1
    for images, said in (([2 * [image], [image]], "images2 has fewer"), ([[], [image]], "images1")):
        with pytest.raises(InputError, match=said):
            list(pipe.predict(*map(iter, images)))


def test_validate_takes_rgb_too(pipe, images):
    pair = [one[:1] for one in images]
    flows = [next(pipe.predict(*pair)).flow]
    reversed_pair = [[image[..., ::-1] for image in one] for one in pair]
    assert pipe.validate(*reversed_pair, flows, color_order="rgb") < 1e-3
    assert pipe.validate(*reversed_pair, flows) > 0.01


def test_predict_takes_pairs_of_many_sizes_lazily_and_in_order(pipe):
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (60, 64), (40, 100), (64, 64), (130, 64)]
    images = [[rng.integers(0, 256, (*size, 3), np.uint8) for _ in "12"] for size in sizes]
    taken = []

    def first_images():
        for index, (image, _) in enumerate(images):
            taken.append(index)
            yield image

    together = pipe.predict(first_images(), (pair[1] for pair in images), batch_size=2)
    first = next(together)
    assert taken == [0, 1]
    for pair, prediction in zip(images, [first, *together], strict=True):
        (alone,) = pipe.predict(pair[:1], pair[1:])
        assert prediction.flow.shape == (*pair[0].shape[:2], 2)
        for one, other in zip(prediction, alone, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_sets_score_is_the_mean_of_its_images_means(pipe):
    data = golden("validate_MaskFlownet_S")
    images = [data[key] for key in ("image1", "image2")]
    flows = data["flow"].copy()
    flows[1] += 30  # so that the two images' errors differ
    masks = data["valid"].copy()
    masks[1] = 0
    masks[1, :10, :10] = 255
    one, other = (
        pipe.validate(*(array[i : i + 1] for array in images), flows[i : i + 1], masks[i : i + 1])
        for i in (0, 1)
    )
    both = pipe.validate(*images, flows, masks)
    assert both == pytest.approx((one + other) / 2)
    shares = masks.reshape(2, -1).astype(bool).sum(axis=1)
    pooled = (one * shares[0] + other * shares[1]) / shares.sum()
    assert abs(both - pooled) > 1
    masks[1] = 0
    assert pipe.validate(*images, flows, masks) == pytest.approx(one)


def test_wrong_input_is_said_in_one_line(pipe):
    small, large = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 70, 3), np.uint8)
    # Views of a few bytes: nothing may run on them.
    wide, vast = (np.broadcast_to(np.uint8(0), (*hw, 3)) for hw in ((2, 33_000), (2000, 30_000)))
    cases = [
        (([small], [large]), {}, r"differ in size: \(64, 64\) and \(64, 70\)"),
        (([small + 2.5], [small]), {}, "expected uint8, or floats in"),
        (([small[None]], [small]), {}, "expected the shape"),
        (([small], [small]), {"color_order": "RGB"}, "expected 'bgr' or 'rgb'"),
        (([small], [small]), {"resize": (100, 128)}, "multiples of 64"),
        (([small], [small]), {"resize": (0, 64)}, "multiples of 64"),
        (([small], [small]), {"resize": (6_400_000, 6_400_000)}, "^resize .* million pixels"),
        (([small], [small]), {"resize": (64, 32_768)}, "^resize .* 32767 a side"),
        (([wide], [wide]), {}, "^an image of 33000x2: expected at most 32767 pixels a side"),
        (([wide], [wide]), {"resize": (64, 64)}, "^an image of 33000x2: expected at most 32767"),
        (([vast], [vast]), {}, r"^an image of 30000x2000: expected at most 59 million.*--resize"),
        (([small], [small]), {"batch_size": 0}, "batch_size: expected .* got 0"),
        (([small], [small]), {"batch_size": 2.0}, r"batch_size: expected .* got 2\.0"),
        (([small], [small]), {"resize": (64, 128.0)}, "^resize: expected .*height, width"),
        (([small], [small]), {"resize": (64,)}, "^resize: expected .*height, width"),
        (([small], [small]), {"resize": 64}, "^resize: expected .*height, width"),
    ]
    for images, options, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            list(pipe.predict(*images, **options))
        assert "\n" not in str(caught.value)
    for images in (([small], [small, small]), ([small, small], [small])):
        with pytest.raises(InputError, match=r"images\d has fewer entries than images\d"):
            list(pipe.predict(*images))
    flow = np.zeros((64, 64, 2), np.float32)
    with pytest.raises(InputError, match="flows has fewer entries than images1"):
        pipe.validate([small, small], [small, small], [flow])
    with pytest.raises(InputError, match="masks has fewer entries than flows"):
        pipe.validate([small, small], [small, small], [flow, flow], [flow[..., :1]])
    with pytest.raises(InputError, match="flows: expected one of 64x64 pixels, as"):
        pipe.validate([small], [small], [flow[:60]])
    with pytest.raises(InputError, match="flows: expected one of 64x64 pixels, as"):
        pipe.validate([small], [small], [flow[:60]], [flow[..., :1]])
    with pytest.raises(InputError, match="masks: expected one of 64x64 pixels, as"):
        pipe.validate([small], [small], [flow], [flow[:60, :, :1]])
    for wanted in ("flow", ("flwo",)):
        with pytest.raises(InputError, match="wanted: expected some of"):
            list(pipe.predict_pairs([(small, small)], wanted=wanted))
    with pytest.raises(InputError, match="epe"):
        pipe.validate([small], [small], [np.zeros((64, 64, 2))], return_type="fl")
