"""Small runs of main.py: the data they train on, the files they leave, the line they fail with."""

import json
import pickle

from maskflownet.main import main
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import write_image
from maskflownet.tasks.runs.log import read_rows

RATE = 1e-4
STEPS = 10  # of a run that `begin` begins


def write_dataset(folder, **changes):
    """Write a dataset config of generated 64x64 pairs and return its path."""
    settings = {
        "dataset": "synthetic",
        "batch": 2,
        "orig_shape": [64, 96],
        "target_shape": [64, 64],
        "validation_steps": 3,
        "checkpoint_steps": 4,
        "synthetic": {"size": [64, 96], "pairs": 5, "valid_pairs": 2},
        "optimizer": {"learning_rate": [[6, RATE]]},
        **changes,
    }
    path = folder / "tiny.yaml"
    path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items()))
    return path


def begin(root, *flags, config="MaskFlownet_S", steps=STEPS, **changes):
    """Return main.py's arguments for a new run on a dataset of its own.

    Pairs are cut out and augmented as by the recipes, the rate changes on the way, and the middle
    is a checkpoint.
    """
    settings = {
        "validation_steps": 4,
        "checkpoint_steps": 5,
        "synthetic": {"size": [72, 104], "pairs": 5, "valid_pairs": 2},
        "optimizer": {"learning_rate": [[4, RATE], [steps, RATE / 2]]},
        **changes,
    }
    dataset = write_dataset(root, **settings)
    return [config, "--dataset_cfg", str(dataset), "--root", str(root), *map(str, flags)]


def write_pairs(folder, pairs):
    """Write pairs of (image1, image2, flow) and their list, pairs.txt."""
    lines = []
    for number, (image1, image2, flow) in enumerate(pairs):
        names = [f"{number}_{part}" for part in ("1.png", "2.png", "flow.flo")]
        write_image(folder / names[0], image1)
        write_image(folder / names[1], image2)
        write_flo(folder / names[2], flow)
        lines.append(" ".join(names))
    (folder / "pairs.txt").write_text("\n".join(lines))


def only_run(root):
    """Return the id of the only run."""
    (log,) = root.glob("logs/*.log")
    return log.stem


def log_of(root):
    """Return the log of the only run."""
    return (root / "logs" / f"{only_run(root)}.log").read_text()


def rows_of(root, column="epe"):
    """Return a column of the only run's curves: {step: value}."""
    rows = read_rows(root / "logs" / f"{only_run(root)}.csv")
    return {int(row["steps"]): row[column] for row in rows if column in row}


def moments_of(checkpoint):
    """Return the bytes of Adam's moments and the numbers of updates."""
    states, optimizer = pickle.loads(checkpoint.states.read_bytes())
    moments = {key: [one.asnumpy().tobytes() for one in pair] for key, pair in states.items()}
    return moments, optimizer.num_update, optimizer._all_index_update_counts


def error_of(capsys, argv):
    """Run the program, which must fail with 2 and one line; return that line."""
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2, error
    assert error.startswith("main.py: error: ")
    assert error.count("\n") == 1 and error.endswith("\n")
    return error
