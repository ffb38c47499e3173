"""MXNet's parameter files, read and written without MXNet, are MXNet's."""

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import mxnet as mx
import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.tasks.runs.shipped import shipped_weights
from maskflownet.torch_training.params_file import read_params, write_params


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"conv1a.0.weight": (16, 3, 3, 3), "conv1a.0.bias": (16,), "deform2.weight": (4, 1)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_mxnet_reads_what_was_written(tmp_path, arrays):
    write_params(tmp_path / "a.params", arrays)
    loaded = mx.nd.load(str(tmp_path / "a.params"))
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == np.float16
        np.testing.assert_array_equal(loaded[name].asnumpy(), array.astype(np.float16))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("prefix", ["", "arg:"])
def test_what_mxnet_wrote_is_read(tmp_path, arrays, dtype, prefix):
    path = str(tmp_path / "a.params")
    mx.nd.save(path, {prefix + name: mx.nd.array(one, dtype=dtype) for name, one in arrays.items()})
    read = read_params(tmp_path / "a.params")
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == np.float32
        np.testing.assert_array_equal(read[name], array.astype(dtype).astype(np.float32))


def test_the_shipped_weights_are_read():
    path = shipped_weights().path
    wanted = mx.nd.load(str(path))
    read = read_params(path)
    assert read.keys() == wanted.keys()
    for name, array in read.items():
        np.testing.assert_array_equal(array, wanted[name].astype("float32").asnumpy())


def test_whatever_is_cut_or_added_is_refused_by_name(tmp_path, arrays):
    path = tmp_path / "a.params"
    write_params(path, arrays)
    whole = path.read_bytes()
    for data in (b"", whole[:30], whole[:200], whole[:-3], whole + b"\0", b"PK" + whole):
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"{path}: expected the parameters"):
            read_params(path)


def test_sparse_and_whole_numbers_are_refused(tmp_path):
    path = tmp_path / "a.params"
    mx.nd.save(str(path), {"a": mx.nd.array([1, 2], dtype="int32")})
    with pytest.raises(InputError, match="expected the parameters"):
        read_params(path)
    mx.nd.save(str(path), {"a": mx.nd.array([[0, 1.0]]).tostype("row_sparse")})
    with pytest.raises(InputError, match="expected the parameters"):
        read_params(path)
