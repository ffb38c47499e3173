"""Weights in safetensors' format: what an export writes is read again, and damage is told."""

import json
import struct

import numpy as np
import pytest
from golden import recipe_pipeline, weights_of

import maskflownet
from maskflownet.config.errors import InputError
from maskflownet.network.files.safetensors_file import is_safetensors_file, read_safetensors_file
from maskflownet.network.files.torch_file import is_torch_file


def write(path, entries, values):
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + values)
    return path


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_what_an_export_writes_loads(tmp_path):
    pipe, path = recipe_pipeline("MaskFlownet_S"), tmp_path / "weights.safetensors"
    maskflownet.export(pipe, path)
    assert is_safetensors_file(path) and not is_torch_file(path)
    again = maskflownet.load(path)
    wanted = weights_of(pipe.network)
    for name, array in weights_of(again.network).items():
        np.testing.assert_array_equal(array, wanted[name])


def test_half_precisions_and_prefixes(tmp_path):
    values = np.array([1.5, -2], np.float32)
    content = values.astype("<f2").tobytes() + (values.view("<u4") >> 16).astype("<u2").tobytes()
    entries = {
        "__metadata__": {"format": "pt"},
        "module.half": entry("F16", [2, 1], 0, 4),
        "module.brain": entry("BF16", [2], 4, 8),
    }
    arrays = read_safetensors_file(write(tmp_path / "a.safetensors", entries, content))
    np.testing.assert_array_equal(arrays["half"], values.reshape(2, 1))
    np.testing.assert_array_equal(arrays["brain"], values)


@pytest.mark.parametrize(
    ("name", "kind"), [("U8", np.uint8), ("I8", np.int8), ("I16", np.int16), ("BOOL", np.bool_)]
)
def test_small_whole_numbers_are_read(tmp_path, name, kind):
    values = np.array([1, 0, 1], kind)
    entries = {"a": entry(name, [3], 0, values.nbytes)}
    path = write(tmp_path / "a.safetensors", entries, values.tobytes())
    np.testing.assert_array_equal(read_safetensors_file(path)["a"], values)


def test_an_array_of_another_type_is_named_and_not_called_damaged(tmp_path):
    entries = {"scale": entry("F8_E4M3", [8], 0, 8)}
    path = write(tmp_path / "a.safetensors", entries, bytes(8))
    with pytest.raises(
        InputError, match=r"a\.safetensors: 'scale': expected .* got 'F8_E4M3'; save"
    ) as e:
        read_safetensors_file(path)
    assert "damaged" not in str(e.value)


@pytest.mark.parametrize(
    "wrong",
    [entry("F32", [2], 0, 12), entry("F32", [3], 0, 8), entry("U7", [2], 0, 8), {"shape": [2]}, 1],
)
def test_what_does_not_fit_is_one_line(tmp_path, wrong):
    path = write(tmp_path / "a.safetensors", {"a": wrong}, bytes(8))
    with pytest.raises(InputError) as caught:
        read_safetensors_file(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_cut_short_is_refused(tmp_path):
    whole = write(tmp_path / "a.safetensors", {"a": entry("F32", [4], 0, 16)}, bytes(16))
    content = whole.read_bytes()
    for cut in range(10, len(content)):
        whole.write_bytes(content[:cut])
        with pytest.raises(InputError):
            read_safetensors_file(whole)
