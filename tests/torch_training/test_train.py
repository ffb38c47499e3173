"""Training with PyTorch as a person runs it, and what it does with a bad batch. Needs PyTorch."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from maskflownet.config import NetworkConfig
from maskflownet.config.errors import InputError
from maskflownet.config.files import ROOT
from maskflownet.config.layout import FLOW_UNIT
from maskflownet.torch_training.params_file import read_params, write_params

torch = pytest.importorskip("torch")

from maskflownet.tasks.open_pipeline import load  # noqa: E402  (where there is PyTorch)
from maskflownet.tasks.prediction.estimate import estimate_flow  # noqa: E402
from maskflownet.torch_training import networks  # noqa: E402
from maskflownet.torch_training import run as module  # noqa: E402
from maskflownet.torch_training.figures import figures  # noqa: E402
from maskflownet.torch_training.scenes import Pairs, Scenes  # noqa: E402
from maskflownet.torch_training.start import initialise, waken  # noqa: E402
from maskflownet.torch_training.steps import Steps  # noqa: E402
from maskflownet.torch_training.train import make_parser  # noqa: E402

SIZE = (64, 64)
SMALL = ["--size", "64,64", "--batch", "2", "--textures", "8", "--float32", "--minutes", "0.2"]


def run(*arguments):
    command = [sys.executable, "-m", "maskflownet.torch_training.train", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def source():
    return Scenes(torch.device("cpu"), SIZE, textures=8, shapes=32)


@pytest.fixture
def network(source):
    torch.manual_seed(0)
    network = initialise(networks.MaskFlownet_S())
    waken(network, source.batch(4))
    return network


def test_what_it_writes_predicts_and_can_be_gone_on_from(tmp_path):
    first = run(tmp_path / "a.params", *SMALL)
    assert first.returncode == 0, first.stderr
    assert '"mask_ap"' in first.stdout
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    flow = estimate_flow(load(tmp_path / "a.params"), image, image).flow
    assert flow.shape == (64, 64, 2) and np.isfinite(flow).all()
    again = run(tmp_path / "b.params", "--start", tmp_path / "a.params", *SMALL)
    assert again.returncode == 0, again.stderr
    before, after = (read_params(tmp_path / f"{name}.params") for name in "ab")
    assert before.keys() == after.keys()
    assert not np.array_equal(before["conv2_0.0.weight"], after["conv2_0.0.weight"])


def test_ctrl_c_leaves_weights_and_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "maskflownet.torch_training.train", str(tmp_path / "a.params")]
    process = subprocess.Popen(
        [*command, *SMALL, "--minutes", "10"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().endswith("ready\n")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130
    assert output.endswith(f"to go on from here: --start {tmp_path / 'a.params'}\n")
    assert len(read_params(tmp_path / "a.params")) > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "65,64"], "--size: expected multiples of 64"),
        (["--batch", "0"], "--batch: expected more than 0"),
        (["--rate", "nan"], "--rate: expected more than 0"),
        (["--mask_weight", "-1"], "--mask_weight: expected 0 or more"),
        (["--start", "missing.params"], "missing.params"),
        (["--network", "MaskFlownet"], "--first_stage"),
        (["--photographs", "tests/torch_training"], "expected pictures"),
        (["--start", "README.md"], "README.md: expected the parameters of a network"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, arguments, message):
    result = run(tmp_path / "a.params", *SMALL, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "a.params").exists()


def test_nothing_is_written_over_and_no_time_is_lost_on_what_cannot_be_written(tmp_path):
    (tmp_path / "a.params").write_bytes(b"weights of a week")
    result = run(tmp_path / "a.params", *SMALL)
    assert result.returncode == 2
    assert "is there already" in result.stderr
    assert (tmp_path / "a.params").read_bytes() == b"weights of a week"
    (tmp_path / "file").touch()
    result = run(tmp_path / "file" / "a.params", *SMALL, "--minutes", "9")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_batch_beyond_the_memory_is_said_in_one_line(monkeypatch):
    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, "_train", too_much)
    arguments = make_parser().parse_args(["missing.params", "--batch", "4096"])
    with pytest.raises(InputError, match="--batch 4096: does not fit"):
        module.train(arguments)


def test_the_parameters_of_another_network_are_refused(tmp_path):
    write_params(tmp_path / "a.params", {"conv1a.0.weight": np.zeros((16, 3, 3, 3), np.float32)})
    result = run(tmp_path / "b.params", "--start", tmp_path / "a.params", *SMALL)
    assert result.returncode == 2
    assert "expected the parameters of a MaskFlownet_S, all of them" in result.stderr


def test_the_loss_falls_and_masks_learn_from_the_scenes(source, network):
    batches = [source.batch(4, motion=0.5) for _ in range(2)]
    steps = Steps(network, NetworkConfig.mw, 1.0, rounds=False)
    before = figures(network, batches)
    for index in range(40):
        steps.take(batches[index % 2], 4e-4 * min(1, (index + 1) / 10))
    after = figures(network, batches)
    assert after["epe"] < 0.9 * before["epe"]
    assert after["mask_ap"] > before["mask_ap"]
    assert after["mask_ap"] > 1.3 * after["occluded_share"]


def test_a_cascade_trains_over_a_frozen_first_stage(source):
    network = initialise(networks.MaskFlownet())
    pairs = source.batch(2)
    waken(network, pairs)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    steps = Steps(network, NetworkConfig.mw, 0.0, rounds=False)
    assert all(np.isfinite(steps.take(pairs, 1e-3).tolist()))
    changed = {
        name for name, one in network.state_dict().items() if not torch.equal(one, before[name])
    }
    assert not any(name.startswith("MaskFlownet_S.") for name in changed)
    assert {"conv1x.0.weight", "deform2.weight", "conv2_0.0.weight", "dc_conv7.weight"} <= changed


def test_a_pixel_without_measure_teaches_nothing(source, network):
    """A motion of a million pixels once undid a training on a GPU."""
    pairs = source.batch(2)
    flow = pairs.flow.clone()
    flow[0, :, 10:20, 10:20] = 1e6
    steps = Steps(network, NetworkConfig.mw, 0.0, rounds=False)
    loss, error, motion = steps.take(pairs._replace(flow=flow), 1e-4).tolist()
    assert max(loss, error, motion) < 100


def test_a_long_gradient_is_shortened(source, network):
    steps = Steps(network, NetworkConfig.mw, 0.0, rounds=False)
    pairs = source.batch(2)
    for _ in range(3):
        steps.take(pairs, 0.0)
    usual = steps._usual.item()
    assert usual > 0
    for one in steps._trained:
        one.grad = one.grad * 1000
    steps._shorten()
    length = torch.nn.utils.get_total_norm([one.grad for one in steps._trained]).item()
    assert length == pytest.approx(4 * usual, rel=1e-3)


def test_it_goes_back_when_the_loss_is_lost(source, network):
    steps = Steps(network, NetworkConfig.mw, 0.0, rounds=False)
    first = {name: one.clone() for name, one in network.state_dict().items()}
    steps.take(source.batch(2), 1e-2)
    assert not steps.look_back(float("nan"), 10.0)  # before there was anything good
    assert all(torch.equal(first[name], one) for name, one in network.state_dict().items())
    assert steps.look_back(1.0, 10.0)
    kept = {name: one.clone() for name, one in network.state_dict().items()}
    steps.take(source.batch(2), 1e-2)
    assert not all(torch.equal(kept[name], one) for name, one in network.state_dict().items())
    assert not steps.look_back(float("nan"), 10.0)
    assert all(torch.equal(kept[name], one) for name, one in network.state_dict().items())
    assert steps.rate_factor == 0.25
    assert not steps.look_back(3.0, 10.0)
    assert steps.look_back(0.9, 10.0)
    kept = {name: one.clone() for name, one in network.state_dict().items()}
    steps.take(source.batch(2), 1e-2)
    # What is written between two looks back: the weights of now, or where all is lost those kept.
    now = steps.weights(1.0, 10.0)
    assert all(torch.equal(now[name], one) for name, one in network.state_dict().items())
    for lost in (3.0, float("nan")):
        written = steps.weights(lost, 10.0)
        assert all(torch.equal(written[name], one) for name, one in kept.items())


def test_the_figures_of_a_perfect_network(source):
    """One that knows the truth: no error, and a mask that ranks every hidden pixel first."""
    pairs = source.batch(4)

    class Perfect:
        def estimate(self, *images):
            sizes = {level: 64 >> level for level in (6, 5, 4, 3, 2)}
            flows = {
                level: pairs.flow.new_full((4, 2, size, size), (level - 2) / FLOW_UNIT)
                for level, size in sizes.items()
            }
            hidden = pairs.occluded[:, :, ::4, ::4]
            return flows, {2: 8 - 16 * hidden}

    still = Pairs(pairs.image1, pairs.image2, 0 * pairs.flow, pairs.occluded)
    found = figures(Perfect(), [still])
    assert found["epe"] == found["no_motion"] == found["<2"] == found["level_2"] == 0
    errors = [found[f"level_{level}"] for level in (6, 5, 4, 3)]
    assert errors == pytest.approx([2**0.5 * far for far in (4, 3, 2, 1)])
    assert found["mask_ap"] > 2 * found["occluded_share"] > 0


@pytest.mark.parametrize("text", ["0,0,0,0,0", "1,2", "1,2,3,4,-5", "a,b,c,d,e", "1,2,3,4,inf", ""])
def test_level_weights_that_are_none_are_refused(text, capsys):
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["a.params", "--mw", text])
    assert caught.value.code == 2
    assert "--mw" in capsys.readouterr().err
    given = make_parser().parse_args(["a.params", "--mw", "0.02,0.04,0.08,0.16,0.32"])
    assert given.mw == (0.02, 0.04, 0.08, 0.16, 0.32)
