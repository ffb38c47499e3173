"""The kernels without MXNet: the structs of kernels/source/kernels.h, called through ctypes.

Every array that a kernel sees lies in memory of its own, directly before a page that must not be
touched (or directly behind one): a read or write past its end ends the process on the spot. That
catches gathers and masked loads too, which a sanitizer does not see.
"""

import ctypes
import math
import mmap
import os
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_float, c_int, c_long, c_size_t
from pathlib import Path

import numpy as np
import pytest

# Another build of the same library, for the sanitizers.
VARIABLE = "MASKFLOWNET_TEST_LIBRARY"
BUILT = Path(__file__).parents[2] / "kernels" / "build" / "libmaskflownet.so"
LIBRARY = Path(os.environ.get(VARIABLE, BUILT))
NOT_BUILT = "the fast operators are not built: `make kernels` builds them where g++ is installed"

AVX512 = {"avx512f", "avx512dq", "avx512bw", "avx512vl"}
FEATURES = {
    "avx2": {"avx2", "fma"},
    "avx512": AVX512,
    "avx512_bf16": {*AVX512, "avx512_bf16"},
    "amx": {*AVX512, "avx512_bf16", "amx_tile", "amx_bf16"},
}
UNITS = tuple(FEATURES)

FLOAT32, SPLIT, ROUNDED = range(3)  # products

NO_ACCESS = 0  # PROT_NONE
ASK_FOR_AMX = (158, 0x1023, 18)  # arch_prctl, ARCH_REQ_XCOMP_PERM, the registers' data
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, c_size_t, c_int]

DILATIONS = (1, 2, 4, 8, 16, 1, 1)
DENSE_LAYERS, CONTEXT_LAYERS, MOST_MAPS, MOST_LEVELS = 5, 7, 8, 5
IMAGES, PYRAMID_FEATURES, PYRAMID_LAYERS = 2, 5, 18

Floats = POINTER(c_float)


class CostVolume(Structure):
    _fields_ = (
        *((name, c_long) for name in ("batch", "channels", "height", "width")),
        ("max_displacement", c_int),
        ("slope", c_float),
        *((name, Floats) for name in ("features1", "features2", "volume")),
        *((f"{name}_gradient", Floats) for name in ("volume", "features1", "features2")),
    )


class TiedDeform(Structure):
    _fields_ = (
        *((name, c_long) for name in ("batch", "channels", "outputs", "height", "width")),
        *((name, Floats) for name in ("features", "flow", "weight", "bias", "result")),
        *(
            (f"{name}_gradient", Floats)
            for name in ("result", "features", "flow", "weight", "bias")
        ),
        ("workspace", Floats),
        ("products", c_int),
    )


class TradeOff(Structure):
    _fields_ = (
        *((name, c_long) for name in ("batch", "channels", "height", "width")),
        ("slope", c_float),
        *((name, Floats) for name in ("matched", "mask", "term", "result")),
        *((f"{name}_gradient", Floats) for name in ("result", "matched", "mask", "term")),
    )


class Enlargement(Structure):
    _fields_ = (
        *((name, c_long) for name in ("planes", "height", "width", "factor")),
        *((name, Floats) for name in ("cells", "result", "result_gradient", "cells_gradient")),
    )


class MultiscaleLoss(Structure):
    _fields_ = (
        *((name, c_long) for name in ("batch", "height", "width", "levels")),
        ("exponent", c_float),
        ("stride", c_long * MOST_LEVELS),
        ("weight", c_float * MOST_LEVELS),
        *((name, Floats) for name in ("label", "valid")),
        ("prediction", Floats * MOST_LEVELS),
        *((name, Floats) for name in ("loss", "error", "loss_gradient")),
        ("prediction_gradient", Floats * MOST_LEVELS),
    )


class Layer(Structure):
    _fields_ = (
        *((name, Floats) for name in ("weight", "bias", "weight_gradient", "bias_gradient")),
        ("outputs", c_long),
    )


class DenseBlock(Structure):
    _fields_ = (
        *((name, c_long) for name in ("batch", "height", "width")),
        ("slope", c_float),
        ("maps", c_int),
        ("map", Floats * MOST_MAPS),
        ("map_gradient", Floats * MOST_MAPS),
        ("map_channels", c_long * MOST_MAPS),
        ("dense", Layer * DENSE_LAYERS),
        *((name, Layer) for name in ("flow_head", "mask_head", "upfeat")),
        ("has_context", c_bool),
        ("context", Layer * CONTEXT_LAYERS),
        ("dilation", c_int * CONTEXT_LAYERS),
        *((name, Floats) for name in ("flow", "mask", "feat", "activations")),
        *((f"{name}_gradient", Floats) for name in ("flow", "mask", "feat")),
        ("workspace", Floats),
        ("products", c_int),
    )


class Pyramid(Structure):
    _fields_ = (
        *((name, c_long) for name in ("batch", "channels", "height", "width")),
        ("slope", c_float),
        ("image", Floats * IMAGES),
        ("layer", Layer * PYRAMID_LAYERS),
        ("features", Floats * PYRAMID_FEATURES * IMAGES),
        ("activations", Floats),
        ("features_gradient", Floats * PYRAMID_FEATURES * IMAGES),
        ("image_gradient", Floats * IMAGES),
        ("workspace", Floats),
        ("products", c_int),
    )


def _with_workspace(name, struct):
    size = ctypes.CFUNCTYPE(c_size_t, POINTER(struct), c_bool)
    run = ctypes.CFUNCTYPE(None, POINTER(struct), Floats)
    return (f"{name}_workspace", size), (f"{name}_forward", run), (f"{name}_backward", run)


def _table_fields():
    yield from _with_workspace("cost_volume", CostVolume)
    run = ctypes.CFUNCTYPE(None, POINTER(TiedDeform))
    size = ctypes.CFUNCTYPE(c_size_t, POINTER(TiedDeform), c_bool)
    yield "tied_deform_workspace", size
    yield from (("tied_deform_forward", run), ("tied_deform_backward", run))
    for way in ("forward", "backward"):
        yield f"trade_off_{way}", ctypes.CFUNCTYPE(None, POINTER(TradeOff))
    yield from _with_workspace("enlarge", Enlargement)
    yield from _with_workspace("multiscale_loss", MultiscaleLoss)
    for name, struct in (("dense_block", DenseBlock), ("pyramid", Pyramid)):
        run = ctypes.CFUNCTYPE(None, POINTER(struct))
        yield f"{name}_activations", ctypes.CFUNCTYPE(c_size_t, POINTER(struct))
        yield f"{name}_workspace", ctypes.CFUNCTYPE(c_size_t, POINTER(struct), c_bool)
        yield from ((f"{name}_forward", run), (f"{name}_backward", run))


class Kernels(Structure):
    _fields_ = tuple(_table_fields())


def table(unit):
    """Return the kernels of a vector unit; skip where they are not built or cannot run."""
    if not LIBRARY.exists():
        pytest.skip(NOT_BUILT)
    flags = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line[:5] == "flags"), ""
    )
    if not FEATURES[unit] <= set(flags.split()):
        pytest.skip(f"this processor has no {unit}")
    if unit == "amx" and _libc.syscall(*ASK_FOR_AMX) != 0:
        pytest.skip("the system does not let programs use AMX")
    find = ctypes.CDLL(str(LIBRARY)).maskflownet_kernels
    find.restype = POINTER(Kernels)
    find.argtypes = [c_char_p]
    if not (found := find(unit.encode())):
        pytest.skip(f"the compiler that built the library does not know {unit}")
    return found.contents


# --- Guarded memory -------------------------------------------------------------------------------


class Memory:
    """Hands out arrays that border on a page that must not be touched, on the side that is said."""

    def __init__(self, at_end=True):
        self._at_end = at_end

    def empty(self, *shape):
        """Return a float32 array full of NaN."""
        size = 4 * math.prod(shape)
        room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = mmap.mmap(-1, room + mmap.PAGESIZE)
        start = ctypes.addressof(c_float.from_buffer(whole))
        guard = start + room if self._at_end else start
        assert _libc.mprotect(guard, mmap.PAGESIZE, NO_ACCESS) == 0
        offset = room - size if self._at_end else mmap.PAGESIZE
        array = np.frombuffer(whole, np.float32, math.prod(shape), offset).reshape(shape)
        array[...] = np.nan
        return array

    def copy(self, values):
        """Return an array with these values."""
        array = self.empty(*np.shape(values))
        array[...] = values
        return array


def pointer(array):
    """Return where an array begins."""
    return array.ctypes.data_as(Floats)


# --- The kernels as functions of numpy arrays -----------------------------------------------------


class Caller:
    """Calls the kernels of a unit; every input, output and workspace is guarded.

    Each method takes the inputs of the MXNet operator of that name and the gradients of its
    outputs, and returns its outputs and the gradients of its inputs.
    """

    def __init__(self, unit, at_end=True, products=SPLIT):
        self._products = products
        self._table = table(unit)
        self._memory = Memory(at_end)

    def _run(self, name, struct, backward):
        """Run a kernel that takes its workspace as an argument."""
        floats = getattr(self._table, f"{name}_workspace")(byref(struct), backward)
        run = getattr(self._table, f"{name}_{'backward' if backward else 'forward'}")
        run(byref(struct), pointer(self._memory.empty(floats)))

    def _fill(self, struct, **arrays):
        for name, array in arrays.items():
            setattr(struct, name, pointer(array))

    def cost_volume(self, inputs, gradients, max_displacement, slope):
        features1, features2 = map(self._memory.copy, inputs)
        N, C, H, W = features1.shape
        volume = self._memory.empty(N, (2 * max_displacement + 1) ** 2, H, W)
        struct = CostVolume(N, C, H, W, max_displacement, slope)
        self._fill(struct, features1=features1, features2=features2, volume=volume)
        self._run("cost_volume", struct, False)
        own = [self._memory.empty(N, C, H, W) for _ in "12"]
        gradient = self._memory.copy(gradients[0])
        self._fill(struct, volume_gradient=gradient)
        self._fill(struct, features1_gradient=own[0], features2_gradient=own[1])
        self._run("cost_volume", struct, True)
        return [volume], own

    def tied_deform(self, inputs, gradients):
        """Take features, flow, weight and, if there is one, the bias."""
        arrays = list(map(self._memory.copy, inputs))
        own = [self._memory.empty(*array.shape) for array in arrays]
        features, _, weight, *_ = arrays
        N, C, H, W = features.shape
        struct = TiedDeform(N, C, len(weight), H, W, products=self._products)
        result = self._memory.empty(N, len(weight), H, W)
        gradient = self._memory.copy(gradients[0])
        self._fill(struct, result=result, result_gradient=gradient)
        names = ("features", "flow", "weight", "bias")[: len(arrays)]
        for name, array, array_gradient in zip(names, arrays, own, strict=True):
            self._fill(struct, **{name: array, f"{name}_gradient": array_gradient})
        self._step("tied_deform", struct, [], backward=False)
        self._step("tied_deform", struct, [], backward=True)
        return [result], own

    def trade_off(self, inputs, gradients, slope):
        arrays = list(map(self._memory.copy, inputs))
        own = [self._memory.empty(*array.shape) for array in arrays]
        result, gradient = (self._memory.copy(gradients[0]) for _ in "12")
        result[...] = np.nan
        struct = TradeOff(*arrays[0].shape, slope)
        self._fill(struct, result=result, result_gradient=gradient)
        for name, array, array_gradient in zip(
            ("matched", "mask", "term"), arrays, own, strict=True
        ):
            self._fill(struct, **{name: array, f"{name}_gradient": array_gradient})
        self._table.trade_off_forward(byref(struct))
        self._table.trade_off_backward(byref(struct))
        return [result], own

    def enlarge(self, inputs, gradients, factor):
        (cells,) = map(self._memory.copy, inputs)
        N, C, H, W = cells.shape
        result = self._memory.empty(N, C, H * factor, W * factor)
        own, given = self._memory.empty(*cells.shape), self._memory.copy(gradients[0])
        struct = Enlargement(N * C, H, W, factor)
        self._fill(struct, cells=cells, result=result, result_gradient=given, cells_gradient=own)
        self._run("enlarge", struct, False)
        self._run("enlarge", struct, True)
        return [result], [own]

    def multiscale_loss(self, inputs, gradients, strides, weights, exponent):
        """Take label, valid and predictions; return the gradients of predictions alone."""
        label, valid, *predictions = map(self._memory.copy, inputs)
        own = [self._memory.empty(*array.shape) for array in predictions]
        loss, error = (self._memory.empty(len(label)) for _ in "12")
        struct = MultiscaleLoss(len(label), *label.shape[2:], len(strides), exponent)
        struct.stride[: len(strides)] = strides
        struct.weight[: len(strides)] = weights
        given = self._memory.copy(gradients[0])
        self._fill(struct, label=label, valid=valid, loss=loss, error=error, loss_gradient=given)
        for level, (array, gradient) in enumerate(zip(predictions, own, strict=True)):
            struct.prediction[level] = pointer(array)
            struct.prediction_gradient[level] = pointer(gradient)
        self._run("multiscale_loss", struct, False)
        self._run("multiscale_loss", struct, True)
        return [loss, error], own

    def dense_block(self, inputs, gradients, form, slope):
        arrays = list(map(self._memory.copy, inputs))
        own = [self._memory.empty(*array.shape) for array in arrays]
        N, _, H, W = arrays[0].shape
        struct = DenseBlock(N, H, W, slope, len(form.maps), has_context=bool(form.context))
        struct.products = self._products
        struct.dilation[:] = DILATIONS
        for i, channels in enumerate(form.maps):
            struct.map[i], struct.map_gradient[i] = pointer(arrays[i]), pointer(own[i])
            struct.map_channels[i] = channels
        layers = [(struct.dense, i, channels) for i, channels in enumerate(form.dense)]
        layers.append((struct, "flow_head", 2))
        layers += [(struct, "mask_head", 1)] if form.mask else []
        layers += [(struct, "upfeat", form.feat)] if form.feat else []
        layers += [(struct.context, i, channels) for i, channels in enumerate(form.context)]
        for number, (where, key, outputs) in enumerate(layers):
            first = len(form.maps) + 2 * number
            both = [pointer(array) for pair in (arrays, own) for array in pair[first : first + 2]]
            layer = Layer(*both, outputs)
            setattr(where, key, layer) if isinstance(key, str) else where.__setitem__(key, layer)
        outputs = [self._memory.empty(*shape) for shape in form.output_shapes(N, H, W)]
        given = list(map(self._memory.copy, gradients))
        for name, array, gradient in zip(form.outputs, outputs, given, strict=True):
            self._fill(struct, **{name: array, f"{name}_gradient": gradient})
        return self._both_ways("dense_block", struct, outputs), own

    def pyramid(self, inputs, gradients, slope):
        arrays = list(map(self._memory.copy, inputs))
        own = [self._memory.empty(*array.shape) for array in arrays]
        struct = Pyramid(*arrays[0].shape, slope, products=self._products)
        for image in range(IMAGES):
            struct.image[image] = pointer(arrays[image])
            struct.image_gradient[image] = pointer(own[image])
        for i in range(PYRAMID_LAYERS):
            first = IMAGES + 2 * i
            both = [pointer(array) for pair in (arrays, own) for array in pair[first : first + 2]]
            struct.layer[i] = Layer(*both, len(arrays[first]))
        outputs = [self._memory.empty(*gradient.shape) for gradient in gradients]
        given = list(map(self._memory.copy, gradients))
        for number, (array, gradient) in enumerate(zip(outputs, given, strict=True)):
            image, level = divmod(number, PYRAMID_FEATURES)
            struct.features[image][level] = pointer(array)
            struct.features_gradient[image][level] = pointer(gradient)
        return self._both_ways("pyramid", struct, outputs), own

    def _both_ways(self, name, struct, outputs):
        """Run forward, with and without keeping activations, and backward."""
        predicted = self._step(name, struct, outputs, backward=False)
        activations = getattr(self._table, f"{name}_activations")
        kept = self._memory.empty(activations(byref(struct)))
        struct.activations = pointer(kept)
        trained = self._step(name, struct, outputs, backward=False)
        for one, other in zip(predicted, trained, strict=True):
            np.testing.assert_array_equal(one, other)  # whether or not activations are kept
        self._step(name, struct, outputs, backward=True)
        return trained

    def _step(self, name, struct, outputs, backward):
        floats = getattr(self._table, f"{name}_workspace")(byref(struct), backward)
        workspace = self._memory.empty(floats)
        struct.workspace = pointer(workspace)
        getattr(self._table, f"{name}_{'backward' if backward else 'forward'}")(byref(struct))
        return [output.copy() for output in outputs]
