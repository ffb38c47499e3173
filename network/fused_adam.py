"""What a step does with all parameters of a network, in one call of the fast operators' library.

MXNet calls its Adam once per array; here the arrays are updated together, on all threads, with the
same result bit by bit. Its sums of squares are of one thread.
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.optimizer import Adam

from maskflownet.kernels import load_library


class _Array(ctypes.Structure):  # kernels/source/adam.h
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "gradient", "mean", "variance")),
        ("size", ctypes.c_int64),
        *((name, ctypes.c_float) for name in ("rate", "decay")),
    )


class _Constants(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_float) for name in ("beta1", "beta2", "epsilon", "scale"))


class FusedAdam(Adam):
    """MXNet's Adam for arrays on CPUs; a pickle of it is one of MXNet's own.

    Parameters
    ----------
    learning_rate, wd : float
        The rest is as Adam has it by default.
    """

    def __init__(self, learning_rate: float, wd: float):
        super().__init__(learning_rate=learning_rate, wd=wd)
        self.aggregate_num = 1 << 30  # arrays that MXNet's updater may hand over at a time

    def __reduce_ex__(self, protocol):
        """Be saved as what every MXNet can load."""
        plain = object.__new__(Adam)
        plain.__dict__ = {**self.__dict__, "aggregate_num": 0}
        _, _, state, *_ = plain.__reduce_ex__(protocol)
        return Adam, (), state

    def update_multi_precision(
        self, indices: list[int], weights: list[Any], gradients: list[Any], states: list[Any]
    ) -> None:
        """Update arrays, given lists of their numbers, values, gradients and moments."""
        mx.nd.waitall()  # MXNet does not know that the arrays are used here
        for index in indices:
            self._update_count(index)
        arrays = (_Array * len(indices))(*map(self._array, indices, weights, gradients, states))
        constants = _Constants(self.beta1, self.beta2, self.epsilon, self.rescale_grad)
        load_library().maskflownet_adam(
            arrays, ctypes.c_int64(len(indices)), ctypes.byref(constants)
        )

    def _array(self, index, weight, gradient, moments):
        count = self._index_update_count[index]
        correction = math.sqrt(1.0 - self.beta2**count) / (1.0 - self.beta1**count)
        pointers = (_pointer(array) for array in (weight, gradient, *moments))
        return _Array(*pointers, weight.size, self._get_lr(index) * correction, self._get_wd(index))


def sums_of_squares(arrays: Sequence[Any]) -> np.ndarray:
    """Return the sum of squares of each MXNet array on a CPU, float64."""
    mx.nd.waitall()
    sums = np.empty(len(arrays))
    structs = (_Array * len(arrays))(
        *(_Array(gradient=_pointer(array), size=array.size) for array in arrays)
    )
    load_library().maskflownet_sums_of_squares(
        structs, ctypes.c_int64(len(arrays)), sums.ctypes.data_as(ctypes.c_void_p)
    )
    return sums


def _pointer(array):
    """Return where an array's values lie now, in their plain order."""
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer
