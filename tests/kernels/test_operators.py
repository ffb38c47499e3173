"""The fast operators against MXNet's own: results and all gradients, over random shapes."""

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
from pathlib import Path

import kernel_reference as reference
import mxnet as mx
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kernel_reference import DILATIONS, Form
from kernel_tables import BUILT, NOT_BUILT

from maskflownet import kernels
from maskflownet.network import layers
from maskflownet.network.loss import MultiscaleLoss

RELATIVE = 1e-4  # of the largest value

seeded = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
)
seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 3)
sides = st.one_of(st.integers(1, 6), st.integers(7, 37))
channels = st.integers(1, 21)


@pytest.fixture(scope="module", autouse=True)
def operators():
    if not BUILT.exists():
        pytest.skip(NOT_BUILT)
    if not kernels.use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")


def random(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def run(function, inputs, seed):
    """Return the outputs, and the gradients of the inputs for random gradients of the outputs."""
    arrays = [mx.nd.array(array) for array in inputs]
    for array in arrays:
        array.attach_grad()
    with mx.autograd.record():
        outputs = function(*arrays)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    rng = np.random.default_rng(seed)
    mx.autograd.backward(outputs, [mx.nd.array(random(rng, *one.shape)) for one in outputs])
    return [array.asnumpy() for array in outputs], [array.grad.asnumpy() for array in arrays]


def assert_equal(fast, plain, inputs, seed):
    for kind in zip(run(fast, inputs, seed), run(plain, inputs, seed), strict=True):
        for index, (got, wanted) in enumerate(zip(*kind, strict=True)):
            largest = np.abs(wanted).max()
            np.testing.assert_allclose(
                got, wanted, rtol=0, atol=RELATIVE * largest, err_msg=f"number {index}"
            )


def leaky(x, slope):
    return mx.nd.LeakyReLU(x, act_type="leaky", slope=slope)


# --- Cost volume ----------------------------------------------------------------------------------


@seeded
@given(seeds, batches, channels, sides, sides, st.sampled_from([2, 4]), st.sampled_from([1, 0.1]))
def test_cost_volume(seed, N, C, H, W, displacement, slope):
    rng = np.random.default_rng(seed)

    def plain(one, two):
        settings = {"kernel_size": 1, "max_displacement": displacement, "pad_size": displacement}
        return leaky(mx.nd.Correlation(one, two, **settings), slope)

    def fast(one, two):
        return mx.nd.maskflownet_cost_volume(one, two, max_displacement=displacement, slope=slope)

    assert_equal(fast, plain, [random(rng, N, C, H, W) for _ in "12"], seed)


def test_a_cost_volume_of_another_radius_is_refused():
    image = mx.nd.ones((1, 1, 4, 4))
    with pytest.raises(mx.MXNetError, match="expected 2 or 4"):
        mx.nd.maskflownet_cost_volume(image, image, max_displacement=3)


# --- Tied deformable convolution ------------------------------------------------------------------


def fast_deform(features, flow, weight, bias):
    return mx.nd.maskflownet_tied_deform(features, flow, weight, bias, bias=1)


def plain_deform(features, flow, weight, bias):
    settings = {"kernel": (3, 3), "pad": (1, 1), "num_filter": len(weight)}
    offset = mx.nd.tile(flow, (1, 9, 1, 1))  # y, x, y, x, ...
    return mx.nd.contrib.DeformableConvolution(features, offset, weight, bias, **settings)


def deform_inputs(rng, N, C, outputs, H, W, flow):
    return random(rng, N, C, H, W), flow, random(rng, outputs, C, 3, 3), random(rng, outputs)


@seeded
@given(seeds, batches, channels, channels, sides, sides, st.sampled_from([0.3, 3, 40]))
def test_tied_deform(seed, N, C, outputs, H, W, pixels):
    rng = np.random.default_rng(seed)
    flow = random(rng, N, 2, H, W) * np.float32(pixels)
    assert_equal(fast_deform, plain_deform, deform_inputs(rng, N, C, outputs, H, W, flow), seed)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 4), (4, 4), (5, 6), (9, 18)])
@pytest.mark.parametrize("values", [(-3, -1, 0, 1, 2, 5), (-1, -0.5, 0.5, 1), (100, -100, 1e9)])
def test_tied_deform_at_whole_and_half_pixels(size, values):
    """Samples on pixels, on the border, and outside: there derivatives are one-sided."""
    rng = np.random.default_rng(0)
    flow = rng.choice(np.array(values, np.float32), (2, 2, *size))
    assert_equal(fast_deform, plain_deform, deform_inputs(rng, 2, 5, 6, *size, flow), 0)


@pytest.mark.parametrize("tiny", [1e-9, -1e-9, 3e-8, -3e-8, -1e-6])
def test_tied_deform_almost_at_whole_pixels(tiny):
    rng = np.random.default_rng(0)
    inputs = deform_inputs(rng, 1, 3, 4, 6, 7, np.full((1, 2, 6, 7), tiny, np.float32))
    outputs = [
        function(*map(mx.nd.array, inputs)).asnumpy() for function in (fast_deform, plain_deform)
    ]
    np.testing.assert_allclose(*outputs, atol=1e-4)


# --- Trade-off ------------------------------------------------------------------------------------


def plain_trade_off(matched, mask, term):
    return leaky(mx.nd.broadcast_mul(matched, mx.nd.sigmoid(mask)) + term, 0.1)


def fast_trade_off(matched, mask, term):
    return mx.nd.maskflownet_trade_off(matched, mask, term, slope=0.1)


@seeded
@given(seeds, batches, channels, sides, sides)
def test_trade_off(seed, N, C, H, W):
    rng = np.random.default_rng(seed)
    inputs = random(rng, N, C, H, W), random(rng, N, 1, H, W), random(rng, N, C, H, W)
    assert_equal(fast_trade_off, plain_trade_off, inputs, seed)


# --- Enlarging ------------------------------------------------------------------------------------


@seeded
@given(seeds, batches, channels, sides, sides, st.integers(2, 9))
def test_enlarge(seed, N, C, H, W, factor):
    def plain(x):
        return layers.upsample(mx.nd, x, factor)

    def fast(x):
        return mx.nd.maskflownet_enlarge(x, factor=factor)

    assert_equal(fast, plain, [random(np.random.default_rng(seed), N, C, H, W)], seed)


# --- Multiscale loss ------------------------------------------------------------------------------

WEIGHTS = (0.005, 0.01, 0.02, 0.08, 0.32)


def loss_inputs(rng, N, rows, columns, levels):
    label = 9 * random(rng, N, 2, 64 * rows, 64 * columns)
    valid = (rng.random((N, 1, 64 * rows, 64 * columns)) < 0.7).astype(np.float32)
    shapes = ((N, 2, rows << level, columns << level) for level in range(levels))
    return label, valid, *(9 * random(rng, *shape) for shape in shapes)


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize(("N", "rows", "columns"), [(1, 1, 1), (2, 3, 2), (3, 1, 4)])
@pytest.mark.parametrize("q", [None, 0.4])
def test_multiscale_loss(levels, N, rows, columns, q):
    inputs = loss_inputs(np.random.default_rng(levels), N, rows, columns, levels)
    results = []
    for fast in (False, True):
        label, valid, *predictions = map(mx.nd.array, inputs)
        for prediction in predictions:
            prediction.attach_grad()
        block = MultiscaleLoss(WEIGHTS, q, fast)
        block.hybridize()
        with mx.autograd.record():
            loss, error = block(label, valid, *predictions)
            total = (loss * mx.nd.arange(1, N + 1)).sum()
        total.backward()
        gradients = [prediction.grad.asnumpy() for prediction in predictions]
        results.append([loss.asnumpy(), error.asnumpy(), *gradients])
    for plain, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-5 * np.abs(plain).max())


def test_multiscale_loss_of_inputs_that_do_not_fit():
    label, valid, *predictions = map(mx.nd.array, loss_inputs(np.random.default_rng(0), 1, 1, 2, 3))
    loss = mx.nd.maskflownet_multiscale_loss
    for inputs, weights in (
        ((label, valid, predictions[1]), "1"),
        ((label, label, predictions[0]), "1"),
        ((label[:, :, :32], valid[:, :, :32], predictions[0]), "1"),
        ((label, valid, *predictions), "1,2"),
        ((label, valid), ""),
    ):
        with pytest.raises((mx.base.MXNetError, ValueError)):
            loss(*inputs, weights=weights)[0].wait_to_read()


# --- Image warp -----------------------------------------------------------------------------------


@seeded
@given(seeds, batches, channels, sides, sides, st.sampled_from([0.3, 3.0, 40.0]), st.booleans())
def test_image_warp(seed, N, C, H, W, reach, repeat_border):
    rng = np.random.default_rng(seed)
    image, flow = random(rng, N, C, H, W), reach * random(rng, N, 2, H, W)
    flow[rng.random(flow.shape) < 0.3] = 0
    flow = np.where(rng.random(flow.shape) < 0.2, np.round(flow), flow)  # to borders, exactly
    got = mx.nd.maskflownet_image_warp(
        mx.nd.array(image), mx.nd.array(flow), repeat_border=int(repeat_border)
    )
    y, x = np.mgrid[:H, :W]
    wanted = reference_warp(image, y + flow[:, 0], x + flow[:, 1], repeat_border)
    np.testing.assert_allclose(got.asnumpy(), wanted, atol=1e-4)


def reference_warp(image, y, x, repeat_border):
    """Sample an image bilinearly in float64, with zeros or the border pixel around it."""
    height, width = image.shape[2:]
    if repeat_border:
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    total = np.zeros((*image.shape[:2], *y.shape[1:]))
    samples = np.arange(len(image))[:, None, None]
    for row in (np.floor(y), np.floor(y) + 1):
        for column in (np.floor(x), np.floor(x) + 1):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = (1 - abs(y - row)) * (1 - abs(x - column)) * inside
            at = np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)
            total += weight[:, None] * image[samples, :, at[0], at[1]].transpose(0, 3, 1, 2)
    return total


@pytest.mark.parametrize("repeat_border", [False, True])
def test_image_warp_is_mxnets(repeat_border):
    rng = np.random.default_rng(0)
    image = mx.nd.array(random(rng, 2, 3, 37, 51))
    flow = mx.nd.array(12 * random(rng, 2, 2, 37, 51))
    got = mx.nd.maskflownet_image_warp(image, flow, repeat_border=int(repeat_border))
    wanted = layers.warp(mx.nd, image, flow, repeat_border)
    np.testing.assert_allclose(got.asnumpy(), wanted.asnumpy(), atol=1e-4)


@pytest.mark.parametrize("repeat_border", [False, True])
def test_image_warp_along_what_is_no_number(repeat_border):
    image = mx.nd.ones((1, 2, 4, 5))
    flow = np.zeros((1, 2, 4, 5), np.float32)
    flow[0, 0, 0] = [np.nan, np.inf, -np.inf, 1e30, -1e30]
    got = mx.nd.maskflownet_image_warp(
        image, mx.nd.array(flow), repeat_border=int(repeat_border)
    ).asnumpy()
    assert (got[:, :, 1:] == 1).all()
    assert (got[:, :, 0] == (1 if repeat_border else 0)).all()


def test_image_warp_says_that_it_has_no_gradient():
    image, flow = mx.nd.ones((1, 2, 4, 5)), mx.nd.ones((1, 2, 4, 5))
    flow.attach_grad()
    with pytest.raises(mx.MXNetError, match="has no gradient"):
        with mx.autograd.record():
            warped = mx.nd.maskflownet_image_warp(image, flow)
        warped.backward()
        flow.grad.asnumpy()


# --- Augmentation (its formulas: tests/augmentation, with both kinds of operators) ----------------


@seeded
@given(seeds, batches, channels, sides, sides, sides, sides, st.booleans())
def test_affine_sample(seed, N, C, H, W, h, w, repeat_border):
    rng = np.random.default_rng(seed)
    image, affine = random(rng, N, C, H, W), random(rng, N, 6)
    how = {"height": h, "width": w, "repeat_border": int(repeat_border)}
    got = mx.nd.maskflownet_affine_sample(mx.nd.array(image), mx.nd.array(affine), **how)
    target = np.stack([*np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h)), np.ones((h, w))])
    x, y = np.einsum("nij,jhw->inhw", affine.reshape(N, 2, 3), target)
    places = (y + 1) / 2 * (H - 1), (x + 1) / 2 * (W - 1)
    wanted = reference_warp(image, *places, repeat_border)
    np.testing.assert_allclose(got.asnumpy(), wanted, atol=1e-3)


@pytest.mark.parametrize("repeat_border", [False, True])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30])
def test_affine_sample_along_what_is_no_number(repeat_border, number):
    how = {"height": 3, "width": 4, "repeat_border": int(repeat_border)}
    affine = mx.nd.array([[0, 0, number, 0, 0, number]])
    got = mx.nd.maskflownet_affine_sample(mx.nd.ones((1, 2, 4, 5)), affine, **how).asnumpy()
    assert (got == (1 if repeat_border else 0)).all()


def test_samples_outside_are_zero_whatever_the_image_holds():
    image = mx.nd.array(np.full((1, 2, 4, 5), np.nan))
    affine = mx.nd.array([[0.1, 0, 5, 0, 0.1, 0]])  # to the right of the image
    sampled = mx.nd.maskflownet_affine_sample(image, affine, height=3, width=3)
    warped = mx.nd.maskflownet_image_warp(image, mx.nd.full((1, 2, 4, 5), 9))
    assert (sampled.asnumpy() == 0).all() and (warped.asnumpy() == 0).all()


def test_augmentation_refuses_what_does_not_fit():
    sample, colours = mx.nd.maskflownet_affine_sample, mx.nd.maskflownet_colours
    image, ones = mx.nd.ones((2, 3, 4, 5)), mx.nd.ones((2, 1, 1, 1))
    matrix, channel = mx.nd.ones((2, 3, 3)), mx.nd.ones((2, 3, 1, 1))
    right = [image, ones, matrix, ones, ones, ones, channel]
    assert colours(*right).shape == image.shape
    for place, wrong in ((0, image[:, :2]), (1, channel), (2, channel), (5, matrix), (6, ones)):
        with pytest.raises(mx.MXNetError):
            colours(*right[:place], wrong, *right[place + 1 :]).wait_to_read()
    for inputs, how in (
        ((image, mx.nd.ones((1, 6))), {"height": 3, "width": 4}),
        ((image, mx.nd.ones((2, 6))), {"height": 3}),
    ):
        with pytest.raises(mx.MXNetError):
            sample(*inputs, **how).wait_to_read()


# --- Dense block ----------------------------------------------------------------------------------


def plain_block(form, slope):
    """Return the block as a function of its inputs, of MXNet's own operators."""

    def convolve(x, weight, bias, dilation=1):
        both = (dilation, dilation)
        settings = {"kernel": (3, 3), "pad": both, "dilate": both, "num_filter": len(weight)}
        return mx.nd.Convolution(x, weight, bias, **settings)

    def block(*inputs):
        maps, parameters = inputs[: len(form.maps)], inputs[len(form.maps) :]
        layers = iter(zip(parameters[::2], parameters[1::2], strict=True))
        x = mx.nd.concat(*maps, dim=1)
        for _ in form.dense:
            x = mx.nd.concat(leaky(convolve(x, *next(layers)), slope), x, dim=1)
        heads = [convolve(x, *next(layers)) for _ in range(1 + form.mask)]
        if form.feat:
            settings = {"kernel": (4, 4), "stride": (2, 2), "pad": (1, 1), "no_bias": False}
            up = mx.nd.Deconvolution(x, *next(layers), num_filter=form.feat, **settings)
            heads.append(leaky(up, slope))
        if form.context:
            for dilation in DILATIONS[:-1]:
                x = leaky(convolve(x, *next(layers), dilation), slope)
            heads[0] = heads[0] + convolve(x, *next(layers))
        return heads

    return block


def fast_block(form, slope, keep=1):
    def block(*inputs):
        return mx.nd.maskflownet_dense_block(
            *inputs,
            maps=len(form.maps),
            mask=int(form.mask),
            feat=int(form.feat > 0),
            context=int(bool(form.context)),
            keep=keep,
            slope=slope,
        )

    return block


sixteens = st.integers(1, 5).map(lambda n: 16 * n)
maps = st.lists(st.integers(1, 33), min_size=1, max_size=6).map(tuple)
contexts = st.tuples(*[st.integers(1, 40)] * 6).map(lambda widths: (*widths, 2))
heads = st.one_of(
    st.fixed_dictionaries({"mask": st.booleans()}),
    st.fixed_dictionaries({"mask": st.booleans(), "feat": st.sampled_from([1, 4, 12, 16, 19])}),
    st.fixed_dictionaries({"mask": st.booleans(), "context": contexts}),
)
forms = st.builds(
    lambda maps, dense, rest: Form(maps, dense, **rest), maps, st.tuples(*[sixteens] * 5), heads
)
small = st.integers(1, 13)


@seeded
@given(seeds, forms, batches, small, small, st.booleans())
def test_dense_block(seed, form, N, H, W, linear):
    """With slope 1, or where no activation is so near zero that rounding turns its derivative."""
    slope = 1 if linear else 0.1
    rng = np.random.default_rng(seed)
    inputs = reference.random_block(rng, form, N, H, W, clear=not linear)
    assert_equal(fast_block(form, slope), plain_block(form, slope), inputs, seed)


@pytest.mark.parametrize("rest", [{"mask": True, "feat": 16}, {"context": (128,) * 6 + (2,)}])
def test_dense_block_of_the_networks_widths(rest):
    form = Form((81, 64, 4, 2), (128, 128, 96, 64, 32), **rest)
    inputs = reference.random_block(np.random.default_rng(0), form, 2, 7, 13)
    fast, plain = (run(make(form, 0.1), inputs, 0) for make in (fast_block, plain_block))
    for got, wanted in zip(fast[0], plain[0], strict=True):
        np.testing.assert_allclose(got, wanted, atol=RELATIVE * np.abs(wanted).max())
    for got, wanted in zip(fast[1], plain[1], strict=True):
        # A norm: some activations are so near zero that rounding turns the derivative.
        assert np.linalg.norm(got - wanted) < 5e-3 * np.linalg.norm(wanted)


def some_block(**rest):
    form = Form((3, 2), (16,) * 5, **rest)
    return form, reference.random_block(np.random.default_rng(0), form, 1, 4, 5)


def test_dense_block_without_its_activations_is_the_same_and_has_no_gradient():
    form, inputs = some_block(mask=True)
    kept, dropped = (
        [array.asnumpy() for array in fast_block(form, 0.1, keep)(*map(mx.nd.array, inputs))]
        for keep in (1, 0)
    )
    for one, other in zip(kept, dropped, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(mx.MXNetError, match="no gradient"):
        run(fast_block(form, 0.1, keep=0), inputs, 0)


def memory_mb():
    """Return this process's memory, and how much of it the system may take at any moment."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    fields = dict(line.split(":") for line in lines)
    if "LazyFree" not in fields:
        pytest.skip("this system does not tell what it may take")
    return [int(fields[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "LazyFree")]


def test_dense_block_of_large_maps_is_as_that_of_each_and_lends_its_memory_to_the_system():
    form, N = Form((3, 2), (16,) * 5, mask=True), 24
    large = reference.random_block(np.random.default_rng(0), form, N, 128, 128)
    block = fast_block(form, 0.1, keep=0)
    inputs = [mx.nd.array(array) for array in large]
    mx.nd.waitall()
    before, _ = memory_mb()
    flow, mask = (array.asnumpy() for array in block(*inputs))
    resident, lent = memory_mb()
    assert lent > 130  # the activations alone are 85 channels of 1.6 MB
    assert resident - lent - before < 50
    # A smaller call takes the same piece, and not another one beside it.
    again = [array[: N - 2] for array in inputs[:2]]
    mx.nd.waitall()
    np.testing.assert_array_equal(block(*again, *inputs[2:])[0].asnumpy(), flow[: N - 2])
    assert memory_mb()[0] - resident < 50
    for number in (0, N - 1):
        one = [mx.nd.array(array[number : number + 1]) for array in large[:2]]
        outputs = block(*one, *inputs[2:])
        np.testing.assert_allclose(outputs[0].asnumpy()[0], flow[number], atol=1e-5)
        np.testing.assert_allclose(outputs[1].asnumpy()[0], mask[number], atol=1e-5)


@pytest.mark.parametrize(
    ("number", "shape"),
    [
        (1, (1, 2, 4, 6)),
        (1, (2, 2, 4, 5)),
        (2, (16, 4, 3, 3)),
        (3, (15,)),
        (13, (3,)),
        (12, (2, 85)),
    ],
)
def test_dense_block_refuses_shapes_that_do_not_fit(number, shape):
    form, inputs = some_block()
    inputs[number] = np.ones(shape, np.float32)
    with pytest.raises(mx.MXNetError, match="maskflownet_dense_block"):
        fast_block(form, 0.1)(*map(mx.nd.array, inputs))


@pytest.mark.parametrize(
    ("number", "shape"),
    [(0, (1, 2, 4, 6)), (1, (1, 1, 4, 5)), (1, (1, 2, 5, 5)), (2, (3, 3, 3, 3)), (3, (2,))],
)
def test_tied_deform_refuses_shapes_that_do_not_fit(number, shape):
    shapes = [(1, 2, 4, 5), (1, 2, 4, 5), (3, 2, 3, 3), (3,)]
    mx.nd.maskflownet_tied_deform(*map(mx.nd.ones, shapes), bias=1).wait_to_read()
    shapes[number] = shape
    with pytest.raises(mx.MXNetError, match="maskflownet_tied_deform"):
        mx.nd.maskflownet_tied_deform(*map(mx.nd.ones, shapes), bias=1)


# --- Pyramid --------------------------------------------------------------------------------------


def plain_pyramid(*inputs, slope=0.1):
    features = []
    for x in inputs[:2]:
        for i, (weight, bias) in enumerate(zip(inputs[2::2], inputs[3::2], strict=True)):
            strides = (2, 2) if i % 3 == 0 else (1, 1)
            settings = {"kernel": (3, 3), "pad": (1, 1), "stride": strides}
            x = mx.nd.Convolution(x, weight, bias, num_filter=len(weight), **settings)
            x = leaky(x, slope)
            features += [x] if i % 3 == 2 and i > 2 else []
    return features


def fast_pyramid(*inputs, slope=0.1, keep=1):
    return mx.nd.maskflownet_pyramid(*inputs, keep=keep, slope=slope)


@pytest.mark.parametrize("size", [(1, 3, 64, 128), (2, 4, 37, 50), (3, 1, 1, 2)])
def test_pyramid(size):
    rng = np.random.default_rng(0)
    inputs = reference.random_pyramid(rng, *size, (16, 32, 48, 33, 17, 196), clear=True)
    assert_equal(fast_pyramid, plain_pyramid, inputs, 0)


def test_pyramid_without_its_activations_is_the_same_and_has_no_gradient():
    inputs = reference.random_pyramid(np.random.default_rng(0), 1, 3, 8, 8, (16,) * 6)
    kept, dropped = (
        [array.asnumpy() for array in fast_pyramid(*map(mx.nd.array, inputs), keep=keep)]
        for keep in (1, 0)
    )
    for one, other in zip(kept, dropped, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(mx.MXNetError, match="no gradient"):
        run(lambda *arrays: fast_pyramid(*arrays, keep=0), inputs, 0)


@pytest.mark.parametrize(
    ("number", "shape"), [(1, (1, 3, 8, 9)), (4, (16, 15, 3, 3)), (5, (15,)), (0, (1, 17, 8, 8))]
)
def test_pyramid_refuses_shapes_that_do_not_fit(number, shape):
    inputs = reference.random_pyramid(np.random.default_rng(0), 1, 3, 8, 8, (16,) * 6)
    inputs[number] = np.ones(shape, np.float32)
    with pytest.raises(mx.MXNetError, match="maskflownet_pyramid"):
        fast_pyramid(*map(mx.nd.array, inputs))
