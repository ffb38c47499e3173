"""What MXNet's import finds, and that all other code sees NumPy and SciPy as they are."""

from importlib.util import find_spec

import pytest
from processes import run_python

from maskflownet.mxnet_import import NUMPY_NAMES


def test_numpy_is_the_same_for_all_code_but_mxnet():
    """What any name gives, `np.bool` and the removed ones too, does not change by the imports."""
    code = f"""
import warnings
import numpy as np
warnings.simplefilter("ignore")
def seen():
    # Not sctypeDict: ml_dtypes, which onnx brings and MXNet loads, adds its types there.
    own = {{n for n in dir(np) if n[0] != "_" and n != "sctypeDict"}}
    names = own | set({sorted(NUMPY_NAMES)})
    return {{name: repr(getattr(np, name, "nothing")).partition(" at 0x")[0] for name in names}}
before = seen()
from maskflownet import runtime
import mxnet
print(set(before.items()) - set(seen().items()))
"""
    process = run_python(code)
    assert process.stdout == "set()\n", process.stderr


@pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is not installed")
@pytest.mark.parametrize(
    "use",
    [
        "from scipy.stats._distn_infrastructure import rv_frozen; import scipy.stats as got; "
        "assert isinstance(got.norm(), rv_frozen)",
        "got = mxnet.test_utils.ss; got.norm",
        *(
            pytest.param(use, marks=pytest.mark.long)
            for use in (
                "import scipy.stats; got = scipy.stats",
                "import scipy; got = scipy.stats",
                "from scipy import stats as got; import pickle; "
                "pickle.loads(pickle.dumps(got.norm(1, 2)))",
                "got = mxnet.contrib.quantization.stats; got.entropy([1, 1])",
                "mxnet.test_utils.ss.norm; import scipy.stats as got",
            )
        ),
    ],
)
def test_mxnets_import_puts_off_what_it_does_not_need(use):
    """And whoever wants it has the module itself."""
    code = f"""
import sys
from maskflownet import runtime
import mxnet
NAME = "scipy.stats"
print([name for name in sys.modules if name.startswith(NAME)])
{use}
print(got.norm.cdf(0), got.__file__ == sys.modules[NAME].__file__)
print(type(sys.modules[NAME]).__name__, sys.modules["scipy"].stats is sys.modules[NAME])
"""
    process = run_python(code)
    assert process.stdout.splitlines() == ["[]", "0.5 True", "module True"], process.stderr


@pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is not installed")
def test_a_module_that_is_loaded_stays():
    code = "import scipy.stats as one; from maskflownet import runtime; import mxnet; import sys; "
    process = run_python(code + "print(sys.modules['scipy.stats'] is one is mxnet.test_utils.ss)")
    assert process.stdout == "True\n", process.stderr
