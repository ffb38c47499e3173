"""What TensorBoard is given: read back from its event files by their protocol."""

import builtins
import io
import struct

import cv2
import numpy as np
import pytest
from main_runs import begin, error_of, only_run
from tensorboardX.proto.event_pb2 import Event

from maskflownet.main import main
from maskflownet.tasks.training.board import Board


def events(folder):
    """Yield the events of all files: length, checksum, data, checksum."""
    for path in sorted(folder.glob("*")):
        data = io.BytesIO(path.read_bytes())
        while head := data.read(12):
            (length,) = struct.unpack_from("<Q", head)
            yield Event.FromString(data.read(length))
            data.read(4)


def shown(folder):
    """Return {name: {step: scalar or picture, RGB}}."""
    values = {}
    for event in events(folder):
        for value in event.summary.value:
            content = value.simple_value
            if value.HasField("image"):
                encoded = np.frombuffer(value.image.encoded_image_string, np.uint8)
                content = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
            values.setdefault(value.tag, {})[event.step] = content
    return values


@pytest.mark.long
def test_a_training_shows_its_curves_and_pictures(tmp_path):
    size = {"size": [72, 104], "pairs": 5, "valid_pairs": 2}
    arguments = begin(tmp_path, "--tensorboard", steps=5, synthetic=size)
    assert main(arguments) == 0
    values = shown(tmp_path / f"logs/{only_run(tmp_path)}.board")
    assert set(values["loss"]) == set(range(1, 6))
    assert set(values["val_epe"]) == set(values["flow/predicted"]) == {1, 4}
    names = {"image", "flow/true", "flow/predicted", "error", "mask"}
    assert all(values[name][1].shape == (72, 104, 3) for name in names)


class Pipe:
    """Predicts a flow of (3, 0) and a mask that is half visible."""

    def predict_pairs(self, pairs, wanted):
        from maskflownet.network.prediction import Prediction

        assert wanted == ("flow", "mask")
        for image1, _ in pairs:
            flow = np.zeros((*image1.shape[:2], 2), np.float32)
            flow[..., 0] = 3
            yield Prediction(flow, np.full((*image1.shape[:2], 1), 0.5, np.float32), None)


def pair():
    from maskflownet.reader.sample import FlowSample

    image = np.full((8, 10, 3), (200, 100, 50), np.uint8)
    flow = np.zeros((8, 10, 2), np.float32)
    flow[..., 0] = 3
    valid = np.full((8, 10, 1), 255, np.uint8)
    valid[0] = 0
    flow[0] = 9
    return FlowSample(image, image, flow, valid)


def test_pictures_are_in_the_right_colours_and_one_scale(tmp_path):
    board = Board(tmp_path, "run", 0)
    board.scalars({"steps": 4, "epe": 2.5})
    board.pictures(Pipe(), [pair()], "BGR", 4)
    board.close()
    values = shown(tmp_path / "run.board")
    assert values["epe"] == {4: 2.5}
    assert values["image"][4][0, 0].tolist() == [50, 100, 200]
    true, predicted = values["flow/true"][4], values["flow/predicted"][4]
    np.testing.assert_array_equal(true[1:], predicted[1:])
    assert true[0].max() == 0 and predicted[1, 0].tolist() == [255, 0, 0]  # to the right: red
    assert values["error"][4][0].max() == 0
    assert (values["mask"][4] == 127).all()


def test_a_run_that_goes_on_drops_what_it_makes_again(tmp_path):
    for start in (0, 5):
        board = Board(tmp_path, "run", start)
        board.scalars({"steps": start + 1, "epe": 1.0})
        board.close()
    marks = [event.session_log.status for event in events(tmp_path / "run.board")]
    steps = [event.step for event in events(tmp_path / "run.board") if event.session_log.status]
    assert any(marks) and steps[-1] == 6


def test_without_tensorboardx_it_is_named_before_anything_is_done(tmp_path, monkeypatch, capsys):
    def refuse(name, *rest, **more):
        if name == "tensorboardX":
            raise ImportError(name)
        return original(name, *rest, **more)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    line = error_of(capsys, begin(tmp_path, "--tensorboard"))
    assert "--tensorboard needs the package tensorboardX; install it with: pip install" in line
    assert not (tmp_path / "logs").exists()
