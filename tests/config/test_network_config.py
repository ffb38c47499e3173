"""Network configs: the published schedules, and every mistake in one line."""

from pathlib import Path

import pytest

from maskflownet.config import Config, InputError, MissingDataError, load_config
from maskflownet.config.files import CONFIG_DIR

GOOD = """
network:
  class: MaskFlownet_S
optimizer:
  learning_rate:
    - [100, 1e-4]
    - [200, 5e-5]
"""

S = ((400, 1e-4), (600, 5e-5), (800, 2.5e-5), (1000, 1.25e-5), (1200, 6.25e-6))
CASCADE = ((300, 1e-4), (500, 5e-5), (600, 2.5e-5), (700, 1.25e-5), (800, 6.25e-6))
FT = ((200, 1e-5), (300, 5e-6), (400, 2.5e-6), (500, 1.25e-6))
KITTI = (
    *((50, 3e-5), (70, 1.5e-5), (90, 7.5e-6), (110, 3e-6), (130, 1.5e-6), (150, 7.5e-7)),
    *((200, 2e-5), (220, 1e-5), (240, 5e-6), (260, 2e-6), (280, 1e-6), (300, 5e-7)),
)
S_MMFLOW = ((200, 1e-4), (300, 5e-5), (400, 2.5e-5), (500, 1.25e-5), (600, 6.25e-6))
SINTEL = (
    *((100, 5e-5), (150, 2.5e-5), (200, 1.25e-5), (300, 3e-5), (350, 1.5e-5), (400, 7.5e-6)),
    *((500, 2e-5), (550, 1e-5), (600, 5e-6), (700, 1e-5), (750, 5e-6), (800, 2.5e-6)),
    *((850, 5e-6), (875, 2.5e-6), (900, 1.25e-6), (950, 5e-7), (975, 2.5e-7), (1000, 1.25e-7)),
)


def write(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def message(tmp_path, text, load=load_config):
    """Return the one line that a bad file gives; it names the file."""
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("name", "network", "thousands", "q", "wd"),
    [
        ("MaskFlownet_S", "MaskFlownet_S", S, None, None),
        ("MaskFlownet_S_ft", "MaskFlownet_S", FT, None, None),
        ("MaskFlownet_S_sintel", "MaskFlownet_S", SINTEL, 0.4, None),
        ("MaskFlownet_S_kitti", "MaskFlownet_S", KITTI, 0.4, None),
        ("MaskFlownet", "MaskFlownet", CASCADE, None, 4e-4),
        ("MaskFlownet_ft", "MaskFlownet", FT, None, 4e-4),
        ("MaskFlownet_sintel", "MaskFlownet", SINTEL, 0.4, None),
        ("MaskFlownet_kitti", "MaskFlownet", KITTI, 0.4, None),
    ],
)
def test_recipes(name, network, thousands, q, wd):
    config = load_config(name)
    assert config.name == name
    assert config.network.class_name == network
    assert config.optimizer.learning_rate == tuple((1000 * k, rate) for k, rate in thousands)
    assert (config.optimizer.q, config.optimizer.wd) == (q, wd)
    assert config.optimizer.weight_decay == 0


@pytest.mark.parametrize(
    ("name", "network", "thousands", "weight_decay"),
    [
        ("MaskFlownet_S_chairs", "MaskFlownet_S", S, 0),
        ("MaskFlownet_S_things3d", "MaskFlownet_S", S_MMFLOW, 0),
        ("MaskFlownet_chairs", "MaskFlownet", CASCADE, 4e-4),
        ("MaskFlownet_things3d", "MaskFlownet", FT, 4e-4),
    ],
)
def test_recipes_of_mmflow(name, network, thousands, weight_decay):
    config = load_config(f"mmflow/{name}")
    assert config.name == name
    assert (config.network.class_name, config.network.dialect) == (network, "mmflow")
    assert config.network.mw == load_config(network).network.mw[::-1]
    assert config.optimizer.learning_rate == tuple((1000 * k, rate) for k, rate in thousands)
    assert config.optimizer.weight_decay == weight_decay
    assert config.optimizer.loss == "levels"
    assert config.optimizer.train_first_stage == (network == "MaskFlownet")
    assert (config.optimizer.q, config.optimizer.wd) == (None, None)


def test_defaults(tmp_path):
    network = load_config(write(tmp_path, GOOD)).network
    assert (network.flow_multiplier, network.deform_bias) == (1.0, True)
    assert network.upfeat_ch == (16, 16, 16, 16)
    assert network.mw == (0.005, 0.01, 0.02, 0.08, 0.32)


def test_every_key_is_read(tmp_path):
    text = GOOD.replace(
        "class: MaskFlownet_S",
        "class: MaskFlownet\n  flow_multiplier: 2\n  deform_bias: false\n"
        "  upfeat_ch: [8, 9, 10, 11]\n  mw: [1, 2, 3, 4, '5e-1']",
    )
    config = load_config(write(tmp_path, text + "  q: 0.4\n  wd: 4e-4\n  weight_decay: 1e-3\n"))
    assert config.network.class_name == "MaskFlownet"
    assert config.network.flow_multiplier == 2.0
    assert config.network.deform_bias is False
    assert config.network.upfeat_ch == (8, 9, 10, 11)
    assert config.network.mw == (1, 2, 3, 4, 0.5)
    assert config.optimizer.weight_decay == 1e-3
    assert (config.optimizer.q, config.optimizer.wd) == (0.4, 4e-4)


def test_a_key_without_a_value_counts_as_left_out(tmp_path):
    assert load_config(write(tmp_path, GOOD + "  q:\n")).optimizer.q is None


def test_is_frozen():
    config = load_config("MaskFlownet_S")
    with pytest.raises(AttributeError):
        config.optimizer.q = 1
    assert isinstance(config, Config)
    assert hash(config) == hash(load_config("MaskFlownet_S"))


def test_names_and_paths_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = load_config("MaskFlownet")
    assert load_config("MaskFlownet.yaml") == wanted
    assert load_config("config/MaskFlownet.yaml") == wanted
    write(tmp_path, GOOD, "near.yaml")
    assert load_config("near") == load_config(Path("near.yaml"))
    assert load_config(f"../{tmp_path.name}/near.yaml").name == "near"


def test_a_file_of_ones_own_beside_a_built_in_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built_in = load_config("MaskFlownet_S")
    own = write(tmp_path, GOOD, "MaskFlownet_S.yaml")
    for name in ("./MaskFlownet_S.yaml", "./MaskFlownet_S", own):
        assert load_config(name).optimizer.learning_rate == ((100, 1e-4), (200, 5e-5))
    assert load_config("MaskFlownet_S") == built_in
    with pytest.raises(
        InputError, match=r"got .* give \./MaskFlownet_S\.yaml .* or MaskF"
    ) as caught:
        load_config("MaskFlownet_S.yaml")
    assert f"{own} and " in str(caught.value) and "config/MaskFlownet_S.yaml;" in str(caught.value)
    own.write_bytes((CONFIG_DIR / own.name).read_bytes())
    assert load_config("MaskFlownet_S.yaml") == built_in
    own.unlink()
    with pytest.raises(MissingDataError):
        load_config("./MaskFlownet_S.yaml")


def test_a_home_folder_that_is_not_there():
    with pytest.raises(InputError, match=r"^~nosuchuser/x: expected a path, .* home folder"):
        load_config("~nosuchuser/x")


def test_a_missing_file_lists_the_names():
    with pytest.raises(MissingDataError) as caught:
        load_config("of_my_own_42")
    text = str(caught.value)
    assert text.startswith("of_my_own_42: ")
    names = text.rpartition(": ")[2].split(", ")
    assert {"MaskFlownet_S_kitti", "those in config/mmflow/"} < set(names)
    with pytest.raises(MissingDataError, match="did you mean MaskFlownet_S or MaskFlownet or "):
        load_config("Maskflownet_S")
    assert not {"chairs", "mmflow/chairs"} & set(names)


def test_unknown_keys_name_the_closest(tmp_path):
    text = message(tmp_path, GOOD.replace("class:", "flow_mutliplier: 2\n  class:"))
    assert text == (
        "FILE: network.flow_mutliplier is an unknown key; did you mean flow_multiplier? "
        "valid here: class, flow_multiplier, deform_bias, upfeat_ch, mw, matching, pyramids, "
        "mask_channel, dialect"
    )
    assert "valid here: network, optimizer" in message(tmp_path, GOOD + "1: 2\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("MaskFlownet_S", "PWCNet", "network.class: expected one of MaskFlownet_S, MaskFlownet"),
        ("class: MaskFlownet_S", "mw: [1, 2]", "the key network.class is missing"),
        (
            "class:",
            "flow_multiplier: true\n  class:",
            "expected a number greater than 0, up to 1000, got True",
        ),
        (
            "class:",
            "flow_multiplier: .nan\n  class:",
            "expected a number greater than 0, up to 1000, got nan",
        ),
        ("class:", "flow_multiplier: fast\n  class:", "greater than 0, up to 1000, got 'fast'"),
        ("class:", "flow_multiplier: 0\n  class:", "network.flow_multiplier: expected a number"),
        ("class:", "deform_bias: 1\n  class:", "expected true or false, got 1"),
        ("class:", "mw: [1, 2]\n  class:", "network.mw: expected a list of 5 values, got [1, 2]"),
        ("class:", "upfeat_ch: [1, 2, 3, 0]\n  class:", "a whole number from 1 to 1024, got 0"),
        ("class:", "upfeat_ch: [1, 2, 3, 4.5]\n  class:", "from 1 to 1024, got 4.5"),
        (
            *("class:", "matching: warp\n  class:"),
            "network.matching: expected one of fmm, ofmm, sym-conv, asym-conv, deform-plain, "
            "deform-mask, deform-tradeoff, deform, got 'warp'",
        ),
        (
            "class:",
            "pyramids: 2\n  class:",
            "network.pyramids: expected one of single, dual, got 2",
        ),
        (
            "class:",
            "mask_channel: 4\n  class:",
            "network.mask_channel: expected true or false, got 4",
        ),
        ("class:", "pyramids: single\n  class:", "network.pyramids is for a cascade: leave it out"),
        ("class:", "mask_channel: false\n  class:", "network.mask_channel is for a cascade"),
        (
            *("class: MaskFlownet_S", "class: MaskFlownet\n  matching: fmm"),
            "network.mask_channel: expected false over a first stage without a mask "
            "(network.matching: fmm), got True",
        ),
        ("[200, 5e-5]", "[50, 5e-5]", "with growing steps"),
        ("[200, 5e-5]", "200", "optimizer.learning_rate: expected a list of [last step"),
        ("[200, 5e-5]", "[200, -1]", "expected a number greater than 0, up to 1000, got -1"),
        ("[200, 5e-5]", "[200, 1/0]", "expected a number greater than 0, up to 1000, got '1/0'"),
        ("[200, 5e-5]", "[true, 1]", "expected a whole number from 1 to 1000000000, got True"),
        ("[200, 5e-5]", "[1e10, 1]", "a whole number from 1 to 1000000000, got '1e10'"),
        ("[200, 5e-5]", "[200, 1e4]", "expected a number greater than 0, up to 1000, got '1e4'"),
        ("class:", "upfeat_ch: [1, 2, 3, 2048]\n  class:", "from 1 to 1024, got 2048"),
        ("[200, 5e-5]", "[1e999, 1]", "expected a whole number from 1 to 1000000000"),
    ],
)
def test_wrong_values(tmp_path, old, new, expected):
    assert expected in message(tmp_path, GOOD.replace(old, new))


# Nine lines of nine aliases each: 3e8 values.
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE: the file is empty"),
        ("# only a comment\n", "FILE: the file is empty"),
        ("- 1\n- 2\n", "expected a mapping of keys to values, got one list"),
        ("words", "expected a mapping of keys to values, got one str"),
        ("network: MaskFlownet_S\n" + GOOD[GOOD.index("optimizer") :], "network: expected a map"),
        ("network: {class: MaskFlownet_S}\n", "the key optimizer is missing"),
        ("network:\n  class: [1\noptimizer: 2\n", "FILE:3: "),
        ("network:\n\tclass: 1\n", "FILE:2: "),
        ("a: 1\nb: 2\na: 3\n", "FILE:3: the key a is there twice"),
        ("a: {b: 1, b: 2}\n", "FILE:1: the key b is there twice"),
        ("a: !!python/object:os.system 1\n", "FILE:1: could not determine a constructor"),
        ("a: 2001-99-99\n", "FILE: expected YAML text: month must be in 1..12"),
        ("a: !!bool maybe\n", "FILE: expected YAML text"),
        ("a: \x00\n", "FILE: expected YAML text"),
        ("a: " + "[" * 5000, "nested too deep"),
        (LAUGHS, "FILE: expected a config, got more than 100000 values with all aliases"),
        ("a: &a [*a]", "FILE: expected a config, got more than 100000 values with all aliases"),
    ],
)
def test_what_is_no_config(tmp_path, text, expected):
    assert expected in message(tmp_path, text)


def test_a_binary_file(tmp_path):
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match=r"picture\.yaml: expected YAML text"):
        load_config(path)


def test_a_dataset_file_names_its_flag():
    with pytest.raises(InputError, match=r"chairs\.yaml is a dataset config, .*--dataset_cfg"):
        load_config("chairs")
