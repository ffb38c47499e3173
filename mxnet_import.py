"""What MXNet's import finds: names that NumPy has no more, and a stand-in for what it needs not.

- MXNet 1.9.1 looks up names that NumPy 1.24 and 2 removed. It finds them, and it alone: all other
  code sees NumPy as it is.
- It imports scipy.stats, if it is installed, for its own tests and for networks of 8-bit integers.
  That is a quarter of its import and needed by nothing here, so it is put off until somebody looks
  into that module.

`runtime.py` sets both up.
"""

import importlib.util
import math
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

# What MXNet 1.9.1 looks up in NumPy although it was removed, `bool` in NumPy 1.24 (2.0 has that
# name again) and the others in 2.0 or later; each with what NumPy had there. All are looked up
# while MXNet is imported, and `bool` later too.
NUMPY_NAMES = {
    "bool": bool,
    # The constants of mxnet.numpy, and a default of its estimators.
    "Inf": math.inf,
    "NAN": math.nan,
    "NINF": -math.inf,
    "NZERO": -0.0,
    "NaN": math.nan,
    "PINF": math.inf,
    "PZERO": 0.0,
    # The functions of mxnet.numpy that it takes from NumPy. We use none of them: its import does.
    "alltrue": np.all,
    "in1d": np.isin,
    "msort": lambda array: np.sort(array, axis=0),
    "product": np.prod,
    "round_": np.round,
    "sometrue": np.any,
    "trapz": lambda *arguments, **named: np.trapezoid(*arguments, **named),
    # Functions for finance, which have raised an error since NumPy 1.20.
    **dict.fromkeys(("mirr", "npv", "pmt", "ppmt", "pv", "rate")),
}


def lend_names_to_mxnet() -> None:
    """Let MXNet, and no other code, find NUMPY_NAMES in NumPy.

    NumPy's own `__getattr__` is asked for what the module lacks, so what it has stays what it is.
    """
    ask_numpy = np.__getattr__

    def ask(name):
        caller = sys._getframe(1).f_globals.get("__name__") or ""
        if name in NUMPY_NAMES and caller.partition(".")[0] == "mxnet":
            return NUMPY_NAMES[name]
        return ask_numpy(name)

    np.__getattr__ = ask  # type: ignore[method-assign]


class LateModule(ModuleType):
    """Stands in for a module that takes long to import, until something in it is looked up."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)
        return getattr(importlib.import_module(self.__name__), name)


class LateForMXNet(MetaPathFinder):
    """Has MXNet, and no other code, get a LateModule where it imports a module.

    It stands for the module while MXNet is imported, and MXNet keeps it; afterwards whoever imports
    the module gets the module itself. (The standard library's LazyLoader is of no use here: a
    second `import` is enough for it to load, and MXNet has two.)

    Parameters
    ----------
    late : str
        The module, such as "scipy.stats". If it is loaded already, or what it lies in is not
        installed, nothing changes.
    """

    def __init__(self, late: str):
        self._late = late

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of MXNet as the other finders know it, with a loader of ours."""
        if name != "mxnet":
            return None
        others = (one for one in sys.meta_path if one is not self and hasattr(one, "find_spec"))
        found = (one.find_spec(name, path, target) for one in others)
        spec = next(filter(None, found), None)
        if spec and spec.loader:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._load(load, module)  # type: ignore[method-assign]
        return spec

    def _load(self, load, module):
        package = self._late.partition(".")[0]
        stands_in = self._late not in sys.modules and importlib.util.find_spec(package) is not None
        late = LateModule(self._late)
        if stands_in:
            sys.modules[self._late] = late
        try:
            load(module)
        finally:
            if sys.modules.get(self._late) is late:
                del sys.modules[self._late]
