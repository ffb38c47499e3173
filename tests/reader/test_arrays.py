"""Images as people have them: what is taken, as the same pixels, and what is refused and how."""

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.arrays import as_image, check_color_order, in_order

BGR = np.random.default_rng(16).integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGB = BGR[..., ::-1]


class Tensor:
    """An array of another library, which offers DLPack alone."""

    def __init__(self, array, refuses=None):
        self.array = array
        self.refuses = refuses

    def __dlpack__(self, **arguments):
        if self.refuses:
            raise self.refuses
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def test_an_array_that_serves_is_not_copied():
    assert np.shares_memory(as_image(BGR), BGR)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (RGB, "rgb"),
        (read_only(BGR), "bgr"),
        (np.asfortranarray(BGR), "bgr"),
        (np.repeat(BGR, 2, axis=1)[:, ::2], "bgr"),
        (BGR / 255, "bgr"),
        ((RGB / 255).astype(np.float32), "rgb"),
        ((BGR / 255).astype(np.float32) + np.float32(0.4 / 255) * (BGR < 255), "bgr"),
        (Tensor(np.ascontiguousarray(RGB)), "rgb"),
        (Image.fromarray(np.ascontiguousarray(RGB)), "rgb"),
        (Image.fromarray(np.ascontiguousarray(RGB)), "bgr"),
        (Image.fromarray(np.ascontiguousarray(RGB)).convert("RGBA"), "bgr"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_same_picture_in_many_forms(given, order):
    image = as_image(given, order)
    np.testing.assert_array_equal(image, BGR)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert cv2.mean(image)[0] == pytest.approx(BGR[..., 0].mean())


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_grey_is_repeated(shape):
    grey = BGR[..., 0].reshape(shape)
    np.testing.assert_array_equal(as_image(grey, "rgb"), np.repeat(BGR[..., :1], 3, axis=2))


def test_files_as_other_readers_read_them(tmp_path):
    path = tmp_path / "picture.png"
    imageio.imwrite(path, RGB)
    for given, order in (
        (path, "bgr"),
        (path, "rgb"),
        (str(path), "bgr"),
        (Image.open(path), "bgr"),
        (imageio.imread(path), "rgb"),
        (cv2.imread(str(path)), "bgr"),
    ):
        np.testing.assert_array_equal(as_image(given, order), BGR)


def test_tensors_of_pytorch():
    torch = pytest.importorskip("torch")
    rgb = torch.from_numpy(np.ascontiguousarray(RGB))
    chw = (rgb.permute(2, 0, 1) / 255).contiguous()
    np.testing.assert_array_equal(as_image(rgb, "rgb"), BGR)
    np.testing.assert_array_equal(as_image(chw.permute(1, 2, 0), "rgb"), BGR)
    with pytest.raises(InputError, match=r"permute\(1, 2, 0\)"):
        as_image(chw, "rgb")
    with pytest.raises(InputError, match=r"\.detach\(\)\.cpu\(\)"):
        as_image(chw.permute(1, 2, 0).requires_grad_(), "rgb")


def test_arrays_of_mxnet():
    pytest.importorskip("maskflownet.network")
    import mxnet as mx

    np.testing.assert_array_equal(as_image(mx.nd.array(BGR, dtype=np.uint8)), BGR)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (BGR.transpose(2, 0, 1), ".transpose(1, 2, 0)"),
        (np.dstack([BGR, BGR[..., 0]]), "image[..., :3]"),
        (BGR[None], "one by one"),
        (BGR[0, 0], "rows, columns and three colours"),
        (BGR[:0], "got none"),
        (BGR.astype(np.uint16) * 257, "(image / 257).round().astype('uint8')"),
        (BGR.astype(np.float32), "convert 0..255 with .round().astype('uint8')"),
        (BGR / 127.5 - 1, "scale it to [0, 1]"),
        (np.full((4, 4, 3), np.nan), "scale it to [0, 1]"),
        (BGR.astype(np.int64), ".astype('uint8')"),
        (BGR > 127, ".astype('uint8')"),
        (BGR.tolist(), "numpy.asarray"),
        (None, "numpy.asarray"),
        (Tensor(BGR, BufferError("it is on a GPU")), ".detach().cpu()"),
        (Image.new("I;16", (4, 4)), "give the file's path"),
        (Image.new("F", (4, 4)), "give the file's path"),
    ],
)
def test_what_is_refused_says_how_to_convert_it(given, remedy):
    with pytest.raises(InputError) as caught:
        as_image(given)
    message = str(caught.value)
    assert message.startswith("image: expected ") and "\n" not in message
    assert remedy in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"nothing\.png"):
        as_image(tmp_path / "nothing.png")


@pytest.mark.parametrize("order", ["RGB", "gbr", None, ""])
def test_an_unknown_order_of_colours_is_refused(order):
    with pytest.raises(InputError, match="expected 'bgr' or 'rgb'"):
        check_color_order(order)


def test_orders_are_each_others_reverse():
    assert in_order(BGR, "bgr") is BGR
    np.testing.assert_array_equal(in_order(BGR, "rgb"), RGB)
