"""Dataset configs: the recipes, files of the original's form, and every mistake in one line."""

import dataclasses
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from maskflownet.config import (
    ColorConfig,
    GeometryConfig,
    InputError,
    MissingDataError,
    load_dataset_config,
)
from maskflownet.config.checks import Where
from maskflownet.config.dataset import DatasetConfig, SyntheticConfig
from maskflownet.config.files import names_in_config
from maskflownet.reader.synthetic import SceneConfig

# The first parts of this project's own trainings on generated scenes.
OWN_STARTS = {
    **dict.fromkeys(("train_demo/1_short", "ablation/scenes", "scenes/1_small"), "scaled"),
    "scenes_far/1_lifted": "lifted",
}


def load(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_dataset_config(path)


def message(tmp_path, text):
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{tmp_path / 'mine.yaml'}: ")
    return text.partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "dataset", "batch", "orig", "target"),
    [
        ("chairs", "chairs", 8, (384, 512), (320, 448)),
        ("things3d", "things3d", 4, (540, 960), (384, 768)),
        ("sintel", "sintel", 4, (436, 1024), (384, 768)),
        ("hd1k", "hd1k", 4, (436, 1024), (320, 768)),
        ("kitti", "kitti", 4, (370, 1224), (320, 896)),
        ("sintel_kitti2015_hd1k", "sintel", 4, (436, 1024), (320, 768)),
    ],
)
def test_recipes(name, dataset, batch, orig, target):
    config = load_dataset_config(name)
    assert (config.name, config.dataset, config.batch) == (name, dataset, batch)
    assert (config.orig_shape, config.target_shape) == (orig, target)
    assert (config.validation_steps, config.checkpoint_steps) == (2500, 5000)
    assert config.optimizer.learning_rate is None


def test_mmflow_augments_both_datasets_alike_in_its_own_way():
    chairs, cascade, things = (
        load_dataset_config(f"mmflow/{name}") for name in ("chairs", "chairs_cascade", "things3d")
    )
    for config in (chairs, cascade, things):
        assert (config.batch, config.color_order, config.optimizer.start) == (8, "BGR", "uniform")
        assert config.affine == chairs.affine and config.jitter == chairs.jitter
    assert chairs.affine.zoom == (1, 1.5) and chairs.jitter.gamma == (0.7, 1.5)
    assert chairs.target_shape == cascade.target_shape == (384, 448)
    assert (things.target_shape, things.sub_type) == ((384, 768), "clean")
    assert (things.cameras, things.directions) == (("left",), ("into_future",))
    steps = [config.checkpoint_steps for config in (chairs, cascade, things)]
    assert steps == [100_000, 50_000, 50_000]
    assert replace(cascade, **vars(chairs)) == chairs


def test_the_mixture():
    config = load_dataset_config("sintel_kitti2015_hd1k.yaml")
    assert (config.kitti, config.hd1k, config.resize_shape) == (1, 1, (436, 1024))
    assert config.geometry == load_dataset_config("sintel").geometry


def test_augmentation_ranges():
    chairs, sintel, kitti = map(load_dataset_config, ("chairs", "sintel", "kitti"))
    assert sintel.geometry == GeometryConfig(
        17, (1 / 1.5, 1 / 0.9), (0.9, 1 / 0.9), 0.1, 0.25, (0.96, 1 / 0.96), 0.25
    )
    assert chairs.geometry.zoom == (0.5, 1 / 0.9)
    assert asdict(chairs.geometry) | {"zoom": 0} == asdict(sintel.geometry) | {"zoom": 0}
    assert kitti.geometry == GeometryConfig(
        5, (1 / 1.25, 1 / 0.95), (0.95, 1 / 0.95), 0.05, 0.25, (0.98, 1 / 0.98), 0.25
    )
    assert chairs.color == ColorConfig((-0.4, 0.8), 0.1, (0.8, 1.4), 0.5, 0.5, (0, 0.04))
    assert sintel.color.noise == (0, 0)
    assert kitti.color == ColorConfig(
        (-0.2, 0.4), 0.05, (0.9, 1.2), 0.25, 0.1, (0, 0.02), (-0.5, 0.5)
    )


def test_generated_scenes():
    config = load_dataset_config("synthetic")
    assert SceneConfig(**config.synthetic.scene) == SceneConfig()
    assert config.synthetic.size == config.orig_shape
    easy = load_dataset_config("synthetic_easy")
    assert easy.orig_shape == easy.synthetic.size == (128, 192)
    assert easy.synthetic.scene["max_motion_px"] < config.synthetic.scene["max_motion_px"]
    assert easy.synthetic.scene["lighting"] == config.synthetic.scene["lighting"]
    assert easy.synthetic.pairs == config.synthetic.pairs


@pytest.mark.parametrize("name", names_in_config("dataset"))
def test_every_recipe_begins_as_the_original_does(name):
    """Only MMFlow's and this project's own trainings on generated scenes do not."""
    wanted = "uniform" if name.startswith("mmflow/") else "reference"
    wanted = OWN_STARTS.get(name, wanted)
    assert load_dataset_config(name).optimizer.start == wanted


def test_a_file_of_the_originals_form_takes_the_rest_from_its_dataset(tmp_path):
    config = load(
        tmp_path,
        "dataset: sintel\nsub_type: final\ntrain_all: true\nkitti: 1\nhd1k: 1\nkitti_15: true\n"
        "orig_shape: [436, 1024]\ntarget_shape: [320, 768]\nresize_shape: [1024, 436]\n"
        "validation_steps: 100\ncheckpoint_steps: 200\n"
        "optimizer:\n  learning_rate:\n    - [10, 1e-5]\n",
    )
    assert (config.sub_type, config.train_all, config.kitti, config.hd1k) == ("final", True, 1, 1)
    assert config.resize_shape == (436, 1024)  # given as width, height
    assert (config.validation_steps, config.checkpoint_steps) == (100, 200)
    assert config.optimizer.learning_rate == ((10, 1e-5),)
    assert config.batch == 4
    assert config.geometry == load_dataset_config("sintel").geometry


def test_a_file_may_build_on_another_than_its_datasets(tmp_path):
    config = load(tmp_path, "base: kitti\ndataset: vkitti2\ngeometry:\n  angle: 3\n")
    kitti = load_dataset_config("kitti")
    assert (config.dataset, config.orig_shape) == ("vkitti2", kitti.orig_shape)
    assert (config.color, config.geometry.angle) == (kitti.color, 3)
    assert load_dataset_config("vkitti2").geometry == kitti.geometry
    (tmp_path / "near.yaml").write_text("dataset: sintel\nbatch: 3\n")
    assert load(tmp_path, "base: ./near.yaml\ndataset: sintel\n").batch == 3
    inherited = load(tmp_path, "base: ./near.yaml\nvalidation_steps: 7\n")
    assert (inherited.dataset, inherited.batch, inherited.validation_steps) == ("sintel", 3, 7)
    (tmp_path / "other.yaml").write_text(f"base: {tmp_path / 'mine.yaml'}\ndataset: chairs\n")
    with pytest.raises(InputError, match="base: expected a file that does not build on this one"):
        load(tmp_path, f"base: {tmp_path / 'other.yaml'}\ndataset: chairs\n")


@pytest.mark.parametrize("name", names_in_config("dataset"))
def test_every_config_can_be_cropped_from_its_images(name):
    config = load_dataset_config(name)
    assert all(t <= o for t, o in zip(config.target_shape, config.orig_shape, strict=True))


def test_sections_are_completed_key_by_key(tmp_path):
    config = load(tmp_path, "dataset: kitti\ngeometry:\n  angle: 3\n")
    assert config.geometry.angle == 3
    assert config.geometry.zoom == load_dataset_config("kitti").geometry.zoom


def test_lists_lie_beside_their_config(tmp_path):
    config = load(tmp_path, "dataset: list\ntrain_list: a/train.txt\nvalid_list: /b/valid.txt\n")
    assert config.train_list == tmp_path / "a/train.txt"
    assert str(config.valid_list) == "/b/valid.txt"


def test_can_be_sent_to_a_worker():
    config = load_dataset_config("synthetic")
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch: 4\n", "dataset: expected one of chairs, things3d, sintel, kitti"),
        ("dataset: monka\n", "dataset: expected one of chairs, things3d, sintel, kitti"),
        ("dataset: chairs\nbacth: 4\n", "bacth is an unknown key; did you mean batch? valid here"),
        (
            "dataset: chairs\nmask_weight: 0.1\n",
            "mask_weight is an unknown key; did you mean optimizer.mask_weight? valid here",
        ),
        (
            "dataset: chairs\nbatch: true\n",
            "batch: expected a whole number from 1 to 10000, got True",
        ),
        (
            "dataset: chairs\nbatch: 2.5\n",
            "batch: expected a whole number from 1 to 10000, got 2.5",
        ),
        ("dataset: chairs\ntrain_all: 'no'\n", "train_all: expected true or false, got 'no'"),
        ("dataset: sintel\nsub_type: albedo\n", "sub_type: expected one of clean, final, mixed"),
        ("dataset: chairs\norig_shape: 384\n", "orig_shape: expected a list of 2 values, got 384"),
        ("dataset: chairs\ntarget_shape: [320, 450]\n", "target_shape: expected a multiple of 64"),
        ("dataset: kitti\nyears: [2013]\n", "years: expected one of 2012, 2015, got 2013"),
        ("dataset: kitti\nyears: []\n", "years: expected a list of one or more values, got []"),
        ("dataset: kitti\ngeometry: 5\n", "geometry: expected a mapping"),
        ("dataset: kitti\ngeometry: {zoom: [2, 1]}\n", "geometry.zoom: expected [lowest, highest]"),
        ("dataset: kitti\ngeometry: {zom: [1, 2]}\n", "geometry.zom is an unknown key; did you"),
        ("dataset: sintel\nkitti: 3\nhd1k: 1\n", "expected kitti + hd1k of less than batch (4)"),
        ("dataset: kitti\nresize_shape: [64, 64]\n", "resize_shape: expected [height, width] of"),
        ("dataset: synthetic\nsynthetic: {size: [64, 64]}\n", "synthetic.size: expected [height"),
        ("dataset: synthetic\nsynthetic: {scene: 3}\n", "synthetic.scene: expected a mapping"),
        (
            "dataset: synthetic\nsynthetic: {valid_scene: 3}\n",
            "synthetic.valid_scene: expected a ma",
        ),
        (
            "dataset: synthetic\nsynthetic: {valid_size: 64}\n",
            "synthetic.valid_size: expected a lis",
        ),
        (
            "dataset: synthetic\nsynthetic: {valid_size: [0, 64]}\n",
            "synthetic.valid_size: expected a whole number from 1 to 32767, got 0",
        ),
        ("dataset: chairs\nbatch: 1e18\n", "batch: expected a whole number from 1 to 10000, got "),
        (
            "dataset: synthetic\nsynthetic: {pairs: 1e12}\n",
            "synthetic.pairs: expected a whole number from 1 to 10000000, got '1e12'",
        ),
        (
            "dataset: chairs\ntarget_shape: [64, 64000000]\n",
            "target_shape: expected a multiple of 64 from 64 to 32704, got 64000000",
        ),
        (
            "dataset: chairs\ncolor: {gamma: [0, 1000]}\n",
            "color.gamma: expected a number from -100 to 100, got 1000",
        ),
        (
            "dataset: chairs\noptimizer: {start: fast}\n",
            "optimizer.start: expected one of reference, scaled, uniform, lifted, copied, "
            "got 'fast'",
        ),
        ("dataset: list\ntrain_list: ~nosuchuser/x\n", "train_list: expected a path, got '~nosuch"),
        (
            'dataset: list\nvalid_list: "a\\0b"\n',
            "valid_list: expected a path, got 'a\\x00b' with a",
        ),
        ("dataset: list\ntrain_list: 3\n", "train_list: expected a path, got 3"),
        (
            "dataset: chairs\nvalid_share: 0.1\n",
            "valid_share is for own data (`dataset: list` or `folder`)",
        ),
        (
            "dataset: chairs\ntrain_list: l.txt\n",
            "train_list is for `dataset: list`, and this is `dataset: chairs`; leave it out",
        ),
        (
            "dataset: list\ntrain_folder: data\n",
            "train_folder is for `dataset: folder`, and this is `dataset: list`",
        ),
        (
            "dataset: folder\nresize_shape: [436, 1024]\n",
            "resize_shape is for published datasets, and this is `dataset: folder`",
        ),
        ("dataset: synthetic\nyears: [2012]\n", "years is for published datasets, and this is"),
        ("dataset: list\nvalid_share: 1.5\n", "valid_share: expected a number greater than 0, up"),
        (
            "dataset: list\nvalid_list: l.txt\nvalid_share: 0.1\n",
            "expected valid_list or valid_share, got both; leave one out",
        ),
        ("dataset: chairs\nbase: 3\n", "base: expected the name of a dataset config, got 3"),
        (
            "dataset: chairs\noptimizer: {wd: 1}\n",
            "optimizer.wd is an unknown key; valid here: ",
        ),
    ],
)
def test_mistakes(tmp_path, text, expected):
    assert message(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "dataset: list\nkitti: 1\nresize_shape: [436, 1024]\n",  # of KITTI's pairs
        "dataset: chairs\ntrain_list: null\n",
        "dataset: list\nsynthetic: {seed: 1}\n",  # a section that another `dataset` would read
        "dataset: sintel\nyears: [2012]\n",  # as in files of the original's
        "dataset: synthetic\nbase: ./own.yaml\n",  # what is inherited may be more
    ],
)
def test_keys_that_are_not_read_here_but_may_stand(tmp_path, text):
    (tmp_path / "own.yaml").write_text("dataset: list\ntrain_list: l.txt\n")
    load(tmp_path, text)


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63 - 1, 10, "'9007199254740993'", "1e3", "'20/2'"])
def test_every_digit_of_a_seed_counts(tmp_path, seed):
    config = load(tmp_path, f"dataset: synthetic\nsynthetic: {{seed: {seed}}}\n")
    expected = {"'9007199254740993'": 2**53 + 1, "1e3": 1000, "'20/2'": 10}.get(seed, seed)
    assert config.synthetic.seed == expected


def test_every_number_of_a_dataset_config_has_a_limit():
    def numbers(cls):
        for one in dataclasses.fields(cls):
            if "check" in one.metadata and one.name not in ("scene", "valid_scene"):
                yield one

    for cls in (DatasetConfig, GeometryConfig, ColorConfig, SyntheticConfig):
        for one in numbers(cls):
            if not isinstance(one.default, int | float | tuple) or isinstance(one.default, bool):
                continue
            huge = [1e300, 1e300] if isinstance(one.default, tuple) else 1e300
            with pytest.raises(InputError):
                one.metadata["check"](huge, Where(Path("own.yaml"), one.name))


def test_a_network_file_names_its_argument():
    with pytest.raises(InputError, match=r"MaskFlownet\.yaml is a network config, .* CONFIG"):
        load_dataset_config("MaskFlownet")


def test_a_missing_file_lists_the_names():
    with pytest.raises(
        MissingDataError, match=r"chair: .*; did you mean chairs.*\? Or give a path$"
    ):
        load_dataset_config("chair")
    with pytest.raises(MissingDataError, match=r"chairs, .*sintel_kitti2015_hd1k, .*things3d, "):
        load_dataset_config("of_my_own_42")
