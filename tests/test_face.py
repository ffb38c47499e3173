"""What `import maskflownet` offers, and what it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import maskflownet

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", maskflownet.__all__)
def test_every_public_name_is_there_and_is_documented(name):
    value = getattr(maskflownet, name)
    assert name == "__version__" or value.__doc__
    assert name in dir(maskflownet)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'flow_to_colour'"):
        maskflownet.flow_to_colour  # noqa: B018


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, **options
    )


def test_the_import_is_light():
    done = python("import maskflownet, sys; print({'mxnet', 'cv2', 'numpy'} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr


def test_the_imports_of_the_original_gives_the_same_objects():
    done = python(
        "from network import get_pipeline, Pipeline; import network, maskflownet.network as n;"
        "import maskflownet; assert n.get_pipeline is get_pipeline is maskflownet.get_pipeline;"
        "assert Pipeline is n.Pipeline and network is n"
    )
    assert (done.returncode, done.stderr) == (0, "")
