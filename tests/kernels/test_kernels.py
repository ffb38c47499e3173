"""The kernels of each vector unit against formulas in float64, and their derivatives.

No MXNet here: test_build.py runs this file against a build with sanitizers too.
"""

import contextlib
import ctypes
import itertools

import kernel_reference as reference
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kernel_reference import Form
from kernel_tables import BUILT, FLOAT32, LIBRARY, ROUNDED, SPLIT, UNITS, Caller, table

SANITIZED = LIBRARY != BUILT  # many times slower

RELATIVE = 1e-4  # of the largest value
STEP, NOISE = 1e-6, 1e-7  # of numerical differentiation, in float64

# Examples are not made smaller when one fails: that takes minutes.
seeded = settings(
    max_examples=4 if SANITIZED else 12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 3)
sides = st.one_of(st.integers(1, 6), st.integers(7, 37))
channels = st.integers(1, 21)


@pytest.fixture(scope="module", params=UNITS)
def unit(request):
    table(request.param)  # skips
    return request.param


def random(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def assert_close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=RELATIVE * np.abs(wanted).max())


def assert_derivatives(function, inputs, gradients, got, rng):
    """Compare gradients with what `function`, in float64, does along a random direction each."""
    inputs = [array.astype(np.float64) for array in inputs]
    for index, (array, gradient) in enumerate(zip(inputs, got, strict=True)):
        assert np.isfinite(gradient).all()
        direction = rng.standard_normal(array.shape)
        sums = []
        for step in (STEP, -STEP):
            moved = [*inputs[:index], array + step * direction, *inputs[index + 1 :]]
            pairs = zip(function(moved), gradients, strict=True)
            sums.append(sum((output * own).sum() for output, own in pairs))
        derivative = (sums[0] - sums[1]) / (2 * STEP)
        allowed = 3 * RELATIVE * np.linalg.norm(gradient) + NOISE
        assert abs((gradient * direction).sum() - derivative) <= allowed, index


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(UNITS, 2)))
def test_each_unit_has_its_own_kernels(one, other):
    one, other = bytes(table(one)), bytes(table(other))
    assert all(one[at : at + 8] != other[at : at + 8] for at in range(0, len(one), 8))


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_any_number_of_threads_does_the_same(unit, threads):
    rng = np.random.default_rng(0)
    caller = Caller(unit)
    form = Form((5, 30), (32, 16, 16, 48, 16), True, 5)
    shape, volume = (2, 7, 11, 13), (2, 81, 11, 13)
    block = reference.random_block(rng, form, 2, 11, 13)
    own = [random(rng, *one) for one in form.output_shapes(2, 11, 13)]
    deformed = [random(rng, *one) for one in (shape, (2, 2, 11, 13), (7, 7, 3, 3), (7,))]
    widths = (16, 5, 32, 48, 7, 16)
    images = reference.random_pyramid(rng, 2, 3, 41, 30, widths)
    features_gradients = [random(rng, *one) for one in reference.pyramid_shapes(2, 41, 30, widths)]
    features, gradients = [random(rng, *shape) for _ in "12"], [random(rng, *volume)]
    assert_threads_agree(
        threads,
        lambda: [
            *caller.cost_volume(features, gradients, 4, 0.1),
            *caller.tied_deform(deformed, [random(np.random.default_rng(1), *shape)]),
            *caller.dense_block(block, own, form, 1),
            *caller.pyramid(images, features_gradients, 1),
        ],
    )


def test_heads_may_be_wider_than_the_block(unit):
    """As those of a network with many `upfeat_ch`; each thread has a working memory of its own."""
    rng = np.random.default_rng(0)
    form = Form((81,), (16,) * 5, True, 200)
    block = reference.random_block(rng, form, 1, 24, 30)
    own = [random(rng, *one) for one in form.output_shapes(1, 24, 30)]
    assert_threads_agree(4, lambda: Caller(unit).dense_block(block, own, form, 1))


@contextlib.contextmanager
def of_threads(count):
    gomp = ctypes.CDLL("libgomp.so.1")
    gomp.omp_set_num_threads(count)
    try:
        yield
    finally:
        gomp.omp_set_num_threads(1)


def assert_threads_agree(threads, run):
    results = []
    for count in (1, threads):
        with of_threads(count):
            results.append(run())
    for one, other in zip(*results, strict=True):
        for got, wanted in zip(one, other, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


# --- Cost volume ----------------------------------------------------------------------------------


@seeded
@given(seeds, batches, channels, sides, sides, st.sampled_from([2, 4]), st.booleans())
def test_cost_volume(unit, seed, N, C, H, W, displacement, at_end):
    rng = np.random.default_rng(seed)
    inputs = [random(rng, N, C, H, W) for _ in "12"]
    gradients = [random(rng, N, (2 * displacement + 1) ** 2, H, W)]
    outputs, own = Caller(unit, at_end).cost_volume(inputs, gradients, displacement, 0.1)

    def function(arrays):
        return [reference.cost_volume(*arrays, displacement, 0.1)]

    assert_close(outputs[0], function([array.astype(np.float64) for array in inputs])[0])
    assert_derivatives(function, inputs, gradients, own, rng)


def test_a_cost_of_zero_has_the_negative_sides_derivative(unit):
    one, zero = np.ones((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1), np.float32)
    gradients = [np.ones((1, 25, 1, 1), np.float32)]
    _, own = Caller(unit).cost_volume([one, zero], gradients, 2, 0.1)
    assert own[1].item() == pytest.approx(0.1) and own[0].item() == 0


# --- Tied deformable convolution ------------------------------------------------------------------


def deform(unit, features, flow, weight, gradient, at_end=True):
    """Return the deformable convolution, without a bias, and its gradients."""
    (result,), own = Caller(unit, at_end).tied_deform([features, flow, weight], [gradient])
    return result, own


def in_float64(features, flow, weight):
    return reference.deformable_convolution(
        *(x.astype(np.float64) for x in (features, flow, weight))
    )


@seeded
@given(
    seeds,
    batches,
    channels,
    channels,
    sides,
    sides,
    st.sampled_from([0.3, 3, 40]),
    st.booleans(),
    st.booleans(),
)
def test_tied_deform(unit, seed, N, C, outputs, H, W, pixels, at_end, has_bias):
    rng = np.random.default_rng(seed)
    features, weight = random(rng, N, C, H, W), random(rng, outputs, C, 3, 3)
    flow, gradient = random(rng, N, 2, H, W) * np.float32(pixels), random(rng, N, outputs, H, W)
    bias = [random(rng, outputs)] if has_bias else []
    inputs = [features, flow, weight, *bias]

    def function(arrays):
        result = reference.deformable_convolution(*arrays[:3])
        return [result + arrays[3].reshape(1, -1, 1, 1) if has_bias else result]

    (result,), own = Caller(unit, at_end).tied_deform(inputs, [gradient])
    wanted = function([array.astype(np.float64) for array in inputs])[0]
    np.testing.assert_allclose(result, wanted, atol=2e-4)
    assert_derivatives(function, inputs, [gradient], own, rng)


def test_tied_deform_of_the_networks_widths(unit):
    """And of several threads, whose samples are added to the same pixels."""
    rng = np.random.default_rng(0)
    features, weight = random(rng, 2, 64, 24, 37), random(rng, 64, 64, 3, 3)
    flow, gradient = 3 * random(rng, 2, 2, 24, 37), random(rng, 2, 64, 24, 37)
    with of_threads(3):
        result, own = deform(unit, features, flow, weight, gradient)
    assert_close(result, in_float64(features, flow, weight))
    assert_derivatives(
        lambda arrays: [reference.deformable_convolution(*arrays)],
        (features, flow, weight),
        [gradient],
        own,
        rng,
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (4, 3), (5, 5), (9, 18)])
def test_tied_deform_at_whole_pixels_and_on_the_border(unit, size):
    """Everywhere a sample lies exactly on a pixel, or exactly on an end of the image."""
    rng = np.random.default_rng(0)
    H, W = size
    features, weight = random(rng, 1, 3, H, W), random(rng, 5, 3, 3, 3)
    for way in range(4):
        rows, columns = np.mgrid[:H, :W].astype(np.float32)
        flow = rng.integers(-H - W, H + W + 1, (1, 2, H, W)).astype(np.float32)
        flow[0, way % 2] = ([-1, H] if way % 2 == 0 else [-1, W])[way // 2] - (rows, columns)[
            way % 2
        ]
        result, own = deform(unit, features, flow, weight, random(rng, 1, 5, H, W))
        assert_close(result, in_float64(features, flow, weight))
        assert all(np.isfinite(gradient).all() for gradient in own)


@pytest.mark.parametrize("tiny", [-1e-9, -1e-30, -3e-8])
def test_a_tap_just_outside_of_the_image_is_zero(unit, tiny):
    """The sample of row 1, column 1 itself is a whole number, once it is rounded."""
    features = np.ones((1, 1, 6, 6), np.float32)
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    for axis in (0, 1):
        flow = np.zeros((1, 2, 6, 6), np.float32)
        flow[:, axis] = tiny
        result, _ = deform(unit, features, flow, weight, features)
        assert_close(result, reference.deformable_convolution(features, flow, weight))
        taps = weight[0, 0]
        assert result[0, 0, 1, 1] == (taps[1:] if axis == 0 else taps[:, 1:]).sum()


@pytest.mark.parametrize("flow", [np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**31, 100.0, -100.0])
def test_what_points_nowhere_is_zero_and_has_no_gradient(unit, flow):
    rng = np.random.default_rng(0)
    features, weight = random(rng, 2, 3, 7, 9), random(rng, 4, 3, 3, 3)
    gradient = random(rng, 2, 4, 7, 9)
    for at in (slice(None), slice(0, 1), slice(1, 2)):  # both axes, y, x
        flows = np.zeros((2, 2, 7, 9), np.float32)
        flows[:, at] = flow
        result, own = deform(unit, features, flows, weight, gradient)
        assert (result == 0).all() and all((array == 0).all() for array in own)


def test_one_pixel_that_points_nowhere_does_not_touch_the_others(unit):
    rng = np.random.default_rng(0)
    features, weight = random(rng, 1, 3, 8, 19), random(rng, 4, 3, 3, 3)
    flow, gradient = random(rng, 1, 2, 8, 19), random(rng, 1, 4, 8, 19)
    whole, own = deform(unit, features, flow, weight, gradient)
    flow[0, 0, 4, 9] = np.nan
    holed, holed_own = deform(unit, features, flow, weight, gradient)
    rest = np.ones((8, 19), bool)
    rest[4, 9] = False
    np.testing.assert_array_equal(holed[..., rest], whole[..., rest])
    np.testing.assert_array_equal(holed_own[1][..., rest], own[1][..., rest])
    assert (holed[..., 4, 9] == 0).all() and (holed_own[1][..., 4, 9] == 0).all()


def test_features_that_are_not_numbers_stay_where_they_are(unit):
    """The corner of the image stands in for samples that there are not.

    The plain convolution is one of tiles of 4x4 pixels: the first one has no numbers then.
    """
    rng = np.random.default_rng(0)
    features, weight = random(rng, 1, 2, 9, 18), random(rng, 3, 2, 3, 3)
    features[..., 0, 0] = np.nan
    flow = np.zeros((1, 2, 9, 18), np.float32)
    flow[0, 0, 6] = 50
    flow[0, 0, 8] = 0.25
    result, _ = deform(unit, features, flow, weight, random(rng, 1, 3, 9, 18))
    assert (result[0, :, 6] == 0).all() and np.isfinite(result[0, :, 8]).all()
    assert np.isnan(result[0, :, :2, :2]).all() and np.isfinite(result[0, :, 4:]).all()


# --- Trade-off ------------------------------------------------------------------------------------


@seeded
@given(seeds, batches, channels, sides, sides, st.booleans())
def test_trade_off(unit, seed, N, C, H, W, at_end):
    rng = np.random.default_rng(seed)
    inputs = [random(rng, N, C, H, W), 3 * random(rng, N, 1, H, W), random(rng, N, C, H, W)]
    # Far enough from zero, where LeakyReLU turns.
    inputs[2] += np.sign(inputs[2]) * 40
    gradients = [random(rng, N, C, H, W)]
    outputs, own = Caller(unit, at_end).trade_off(inputs, gradients, 0.1)

    def function(arrays):
        return [reference.trade_off(*arrays, 0.1)]

    assert_close(outputs[0], function([array.astype(np.float64) for array in inputs])[0])
    assert_derivatives(function, inputs, gradients, own, rng)


@pytest.mark.parametrize(("mask", "visible"), [(200, 1), (-200, 0), (np.inf, 1), (-np.inf, 0)])
def test_trade_off_of_a_mask_that_is_sure(unit, mask, visible):
    one = np.ones((1, 3, 20, 30), np.float32)
    inputs = [5 * one, np.full((1, 1, 20, 30), mask, np.float32), -one]
    (result,), own = Caller(unit).trade_off(inputs, [one], 0.1)
    assert (result == (4 if visible else np.float32(-0.1))).all()
    assert (own[0] == visible).all() and (own[1] == 0).all()


# --- Enlarging ------------------------------------------------------------------------------------


@seeded
@given(seeds, batches, channels, sides, sides, st.integers(1, 9), st.booleans())
def test_enlarge(unit, seed, N, C, H, W, factor, at_end):
    rng = np.random.default_rng(seed)
    cells, gradient = random(rng, N, C, H, W), random(rng, N, C, H * factor, W * factor)
    (result,), own = Caller(unit, at_end).enlarge([cells], [gradient], factor)
    assert_close(result, reference.enlarged(cells.astype(np.float64), factor))

    def function(arrays):
        return [reference.enlarged(arrays[0], factor)]

    assert_derivatives(function, [cells], [gradient], own, rng)


# --- Multiscale loss ------------------------------------------------------------------------------


@seeded
@given(
    *(seeds, batches, st.integers(1, 5), st.integers(1, 9), st.booleans()),
    st.sampled_from([(4,), (8, 4, 2), (16, 4, 1), (3, 1)]),
    st.sampled_from([0, 0.4, 1.5]),
)
def test_multiscale_loss(unit, seed, N, rows, columns, at_end, strides, exponent):
    rng = np.random.default_rng(seed)
    size = rows * strides[0], columns * strides[0]
    label, valid = random(rng, N, 2, *size), rng.random((N, 1, *size)).astype(np.float32)
    valid[0] = rng.integers(2)  # without a known pixel there is neither loss nor gradient
    predictions = [random(rng, N, 2, size[0] // s, size[1] // s) for s in strides]
    weights = rng.random(len(strides)).astype(np.float32)
    given_gradient = random(rng, N)
    caller = Caller(unit, at_end)
    (loss, error), own = caller.multiscale_loss(
        [label, valid, *predictions], [given_gradient], strides, weights, exponent
    )

    def function(arrays):
        wide = label.astype(np.float64), valid.astype(np.float64)
        return [reference.multiscale_loss(*wide, arrays, strides, weights, exponent)[0]]

    wanted = reference.multiscale_loss(label, valid, predictions, strides, weights, exponent)
    assert_close(loss, wanted[0])
    assert_close(error, wanted[1])
    assert_derivatives(function, predictions, [given_gradient], own, rng)
    if not valid[0].any():
        assert loss[0] == error[0] == 0 and not any(gradient[0].any() for gradient in own)


# --- Dense block ----------------------------------------------------------------------------------

sixteens = st.integers(1, 6).map(lambda n: 16 * n)
maps = st.lists(st.integers(1, 33), min_size=1, max_size=8).map(tuple)
denses = st.tuples(*[sixteens] * 5)
contexts = st.tuples(*[st.integers(1, 40)] * 6).map(lambda widths: (*widths, 2))
heads = st.one_of(
    st.fixed_dictionaries({"mask": st.booleans()}),
    st.fixed_dictionaries({"mask": st.booleans(), "feat": st.integers(1, 20)}),
    st.fixed_dictionaries({"mask": st.booleans(), "context": contexts}),
)
forms = st.builds(lambda maps, dense, rest: Form(maps, dense, **rest), maps, denses, heads)
small = st.integers(1, 11)


def check_block(unit, seed, form, N, H, W, at_end=True, slope=0.1, clear=False):
    rng = np.random.default_rng(seed)
    inputs = reference.random_block(rng, form, N, H, W, clear)
    gradients = [random(rng, *shape) for shape in form.output_shapes(N, H, W)]
    outputs, own = Caller(unit, at_end).dense_block(inputs, gradients, form, slope)

    def function(arrays):
        return reference.dense_block(arrays, form, slope)

    wanted = function([array.astype(np.float64) for array in inputs])
    for got, output in zip(outputs, wanted, strict=True):
        assert_close(got, output)
    if clear or slope == 1:
        assert_derivatives(function, inputs, gradients, own, rng)
    return own


@settings(seeded, max_examples=4 if SANITIZED else 8)
@given(seeds, forms, batches, small, small, st.booleans(), st.booleans())
def test_dense_block(unit, seed, form, N, H, W, at_end, linear):
    check_block(unit, seed, form, N, H, W, at_end, slope=1 if linear else 0.1, clear=not linear)


@pytest.mark.parametrize("size", [(1, 1, 19), (2, 5, 6)])
@pytest.mark.parametrize(
    "rest",
    [{"mask": True, "feat": 4}, {"feat": 12}, {"context": (128, 128, 128, 96, 64, 32, 2)}],
)
def test_dense_block_of_the_networks_widths(unit, size, rest):
    form = Form((25, 32, 5), (128, 128, 96, 64, 32), **rest)
    check_block(unit, 0, form, *size, slope=1)


@pytest.mark.parametrize(
    ("tiles", "size", "threads"),
    [
        (36, (1, 24, 24), 1),
        (37, (1, 4, 148), 2),
        pytest.param(144, (1, 48, 48), 7, marks=pytest.mark.long),
        pytest.param(145, (5, 4, 116), 1, marks=pytest.mark.long),
        (182, (1, 49, 53), 7),
    ],
)
def test_dense_block_of_few_and_of_many_tiles(unit, tiles, size, threads):
    """Seven threads share the sums of a kernel's gradient, of fewer blocks of channels."""
    N, H, W = size
    assert tiles == N * -(-H // 4) * -(-W // 4)
    form = Form((5, 30), (16, 48, 16, 80, 16))
    with of_threads(threads):
        check_block(unit, 0, form, *size, slope=1)


# --- Products of 16 bits --------------------------------------------------------------------------


def block_by(unit, products, form, *size, slope=0.1):
    """Return what a dense block gives, and its gradients."""
    rng = np.random.default_rng(0)
    inputs = reference.random_block(rng, form, *size, clear=slope < 1)
    gradients = [random(rng, *shape) for shape in form.output_shapes(*size)]
    outputs, own = Caller(unit, products=products).dense_block(inputs, gradients, form, slope)
    return [*outputs, *own]


def error(got, wanted):
    """Return the root of the mean squared error, in parts of the values' own."""
    return np.sqrt(((got - wanted) ** 2).mean() / (wanted**2).mean())


WIDE = (128, 128, 96, 64, 32)


@pytest.mark.parametrize(
    ("products", "least", "most"), [(SPLIT, 1e-8, 3e-5), (ROUNDED, 1e-4, 3e-2)]
)
def test_the_matrix_unit_is_as_exact_as_it_is_said_to_be(products, least, most):
    """And its products are others than those of float32."""
    form = Form((81, 32, 18), WIDE, mask=True, feat=16)
    got, wanted = (block_by("amx", own, form, 1, 20, 70) for own in (products, FLOAT32))
    for one, exact in zip(got, wanted, strict=True):
        assert np.abs(one - exact).max() <= most * np.abs(exact).max()
    flow, exact = got[0], wanted[0]
    assert np.abs(flow - exact).max() >= least * np.abs(exact).max()


@pytest.mark.parametrize(
    "form",
    [
        Form((81, 32, 18), WIDE, mask=True, feat=16),
        Form((81, 32), WIDE, mask=True, context=(128, 128, 96, 16, 16, 16, 2)),
    ],
)
def test_rounded_products_are_as_exact_as_they_are_said_to_be(form):
    """And are other products than those of float32, on all ways."""
    size = (1, 52, 70)  # more tiles than few
    got, wanted = (block_by("avx512_bf16", own, form, *size) for own in (ROUNDED, FLOAT32))
    for one, exact in zip(got, wanted, strict=True):
        if exact.ndim > 1:  # a bias's gradient is a sum that may cancel
            assert np.abs(one - exact).max() <= 6e-2 * np.abs(exact).max()
    outputs, maps = len(form.outputs), len(form.maps)
    # The flow, a map's gradient and that of a layer's weight.
    for index, most in ((0, 1.3e-3), (outputs, 1.4e-2), (outputs + maps, 2e-2)):
        assert most / 3 <= error(got[index], wanted[index]) <= most


def test_numbers_are_rounded_to_the_nearest():
    """Were they cut off, all that is summed would be too small by half a per cent."""
    form, size = Form((81, 32, 18), WIDE, mask=True, feat=16), (1, 52, 70)
    got, wanted = (block_by("avx512_bf16", own, form, *size, slope=1) for own in (ROUNDED, FLOAT32))
    outputs, maps = len(form.outputs), len(form.maps)
    for index in (0, outputs, outputs + maps):
        one, exact = got[index].astype(np.float64), wanted[index].astype(np.float64)
        assert abs((one * exact).sum() / (exact**2).sum() - 1) < 1e-3


@pytest.mark.parametrize("size", [(1, 35, 67), (3, 11, 51), (1, 4, 148)])
@pytest.mark.parametrize("threads", [1, 7])
def test_rounded_products_of_odd_numbers_of_tiles(size, threads):
    """Two tiles are multiplied together: the last one of these has zeros beside it."""
    table("avx512_bf16")
    N, H, W = size
    assert N * -(-H // 4) * -(-W // 4) % 2 == 1
    form = Form((19, 70), (80, 16, 96, 16, 16), True, 17)
    exact = block_by("avx512_bf16", FLOAT32, form, *size)
    alone = block_by("avx512_bf16", ROUNDED, form, *size)
    with of_threads(threads):
        shared = block_by("avx512_bf16", ROUNDED, form, *size)
    for got, other, wanted in zip(alone, shared, exact, strict=True):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=5e-2 * scale)
        np.testing.assert_allclose(other, got, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("unit", ["avx2", "avx512", "avx512_bf16"])
def test_what_is_narrow_or_deformable_is_rounded_on_the_matrix_unit_alone(unit):
    table(unit)
    rng = np.random.default_rng(0)
    form = Form((64,), (48, 16, 64, 32, 16), context=(40, 64, 16, 33, 16, 16, 2))
    features, weight = random(rng, 1, 96, 60, 70), random(rng, 96, 96, 3, 3)
    inputs = [features, random(rng, 1, 2, 60, 70), weight]
    gradient = random(rng, 1, 96, 60, 70)
    runs = []
    for products in (ROUNDED, FLOAT32):
        block = block_by(unit, products, form, 1, 60, 70)[: len(form.outputs)]
        (result,), own = Caller(unit, products=products).tied_deform(inputs, [gradient])
        runs.append([*block, result, *own])
    for got, wanted in zip(*runs, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("unit", ["avx2", "avx512", "avx512_bf16"])
def test_pyramids_are_rounded_on_the_matrix_unit_alone(unit):
    table(unit)
    rng = np.random.default_rng(0)
    widths = (16, 32, 64, 96, 128, 196)
    inputs = reference.random_pyramid(rng, 1, 3, 70, 90, widths)
    gradients = [random(rng, *shape) for shape in reference.pyramid_shapes(1, 70, 90, widths)]
    runs = [
        Caller(unit, products=products).pyramid(inputs, gradients, 0.1)
        for products in (ROUNDED, FLOAT32)
    ]
    for got, wanted in zip(*([*outputs, *own] for outputs, own in runs), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("size", [(2, 1, 65), (1, 33, 130), (1, 5, 257), (2, 40, 3)])
@pytest.mark.parametrize(("products", "most"), [(SPLIT, 1e-4), (ROUNDED, 5e-2)])
def test_strips_of_wide_and_of_narrow_images(size, products, most):
    """Several beside each other, also with margins of many pixels, or wider than the image."""
    rng = np.random.default_rng(0)
    form = Form((19, 7), (32, 16, 48, 16, 16), True, context=(24, 16, 40, 16, 33, 16, 2))
    inputs = reference.random_block(rng, form, *size)
    gradients = [random(rng, *shape) for shape in form.output_shapes(*size)]
    blocks = (
        Caller("amx", products=products).dense_block(inputs, gradients, form, 1),
        Caller("avx512").dense_block(inputs, gradients, form, 1),
    )
    for got, wanted in zip(*([*outputs, *own] for outputs, own in blocks), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=most * np.abs(wanted).max())


# --- Pyramid --------------------------------------------------------------------------------------


def check_pyramid(unit, seed, widths, N, C, H, W, at_end=True, slope=0.1, clear=False):
    rng = np.random.default_rng(seed)
    inputs = reference.random_pyramid(rng, N, C, H, W, widths, clear)
    gradients = [random(rng, *shape) for shape in reference.pyramid_shapes(N, H, W, widths)]
    outputs, own = Caller(unit, at_end).pyramid(inputs, gradients, slope)

    def function(arrays):
        return reference.pyramid(arrays, slope)

    wanted = function([array.astype(np.float64) for array in inputs])
    for got, output in zip(outputs, wanted, strict=True):
        assert_close(got, output)
    assert_derivatives(function, inputs, gradients, own, rng)


widths = st.tuples(*[st.integers(1, 40)] * 6)
large = st.one_of(st.integers(1, 9), st.integers(30, 70))


@settings(seeded, max_examples=3)
@given(seeds, widths, batches, st.integers(1, 16), large, large, st.booleans(), st.booleans())
def test_pyramid(unit, seed, widths, N, C, H, W, at_end, linear):
    check_pyramid(
        unit, seed, widths, N, C, H, W, at_end, slope=1 if linear else 0.1, clear=not linear
    )


@pytest.mark.parametrize(
    ("channels", "width"), list(itertools.product((1, 3, 8, 12), (16, 24, 32, 48, 96)))
)
def test_pyramid_whose_first_layer_is_wide(unit, channels, width):
    """Its columns are a multiple of 8, not of 16, and its outputs several groups."""
    check_pyramid(unit, 0, (width, 3, 3, 3, 3, 3), 1, channels, 9, 14, slope=1)


@pytest.mark.parametrize("size", [(1, 3, 64, 64), (1, 4, 33, 70)])
def test_pyramid_of_the_networks_widths(unit, size):
    check_pyramid(unit, 0, (16, 32, 64, 96, 128, 196), *size, slope=1)
