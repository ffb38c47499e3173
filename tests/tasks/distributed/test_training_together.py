"""Training by several processes: equal to one, and stopped, killed and continued.

All are real processes that talk over the loopback: a scheduler, a server and two workers.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from golden import recipe_pipeline
from launch_helpers import Together, arrays_of, distance, two_namespaces
from main_runs import moments_of, rows_of

from maskflownet.main import main

pytestmark = pytest.mark.usefixtures("thin_networks")

TESTS = Path(__file__).parents[2]
STEPS = 8
# A step at most, and what the launcher gives: it is told of a death at once.
BOUND_S = 60


@pytest.fixture(scope="module")
def start():
    """Weights whose gradients are far from zero: there Adam's steps do not hang on rounding."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recJan01-0000_4"
        recipe_pipeline("MaskFlownet_S").save(path)
        path.with_suffix(".states").unlink()
        yield path.with_suffix(".params")


# Equal to one process.


def train_alone(root, start, steps, *flags):
    """Train one process with the batch of two workers; return its weights."""
    alone = Together(root, start, steps, more=["--batch", 4, *flags])
    assert main(alone.argv()) == 0
    return alone, arrays_of(alone.checkpoint(steps).path)


def assert_equal_to_one_process(training, alone, weights, start, steps, apart=1e-3):
    own = arrays_of(training.checkpoint(steps).path)
    assert distance(own, weights) < apart * distance(weights, arrays_of(start))
    for column in ("epe", "loss", "val_epe"):
        wanted = rows_of(alone.root, column)
        assert list(rows_of(training.root, column)) == list(wanted)
        assert rows_of(training.root, column) == pytest.approx(wanted, rel=1e-4)


def test_two_workers_equal_one_process_with_twice_the_batch(root, start):
    alone, weights = train_alone(root / "one", start, 4)
    training = Together(root / "two", start, 4).launch()
    code, output, errors = training.wait()
    assert (code, errors) == (0, "")
    assert_equal_to_one_process(training, alone, weights, start, 4)
    assert sorted(rows_of(training.root, "val_epe")) == [1, 3]
    assert "val=3, " in training.log() and "batch=4" in training.log()
    assert output.count("steps=4, epe=") == 1  # one of them tells
    assert all(line.startswith("[worker ") for line in output.splitlines())


@pytest.mark.long
def test_twenty_of_twenty_runs_equal_one_process(root, start):
    alone, weights = train_alone(root / "one", start, 4)
    for number in range(20):
        training = Together(root / str(number), start, 4).launch()
        assert training.wait()[::2] == (0, "")
        assert_equal_to_one_process(training, alone, weights, start, 4)
        shutil.rmtree(training.root / "weights")


@pytest.mark.long
@pytest.mark.parametrize("beginning", ["scaled", "reference"])
def test_ten_of_ten_runs_from_nothing_take_their_steps(root, beginning):
    optimizer = {"start": beginning, "learning_rate": [[2, 1e-4]]}
    sizes = {"orig_shape": [64, 64], "target_shape": [64, 64]}
    scenes = {"size": [64, 64], "pairs": 7, "valid_pairs": 1}
    for number in range(10):
        training = Together(
            root / str(number), None, optimizer=optimizer, synthetic=scenes, **sizes
        ).launch()
        assert training.wait()[::2] == (0, "")
        assert training.steps() == [2]


@pytest.mark.long
@pytest.mark.parametrize("kernels", ["auto", "builtin"])
def test_gradients_that_workers_add_up_from_parts_are_those_of_the_batch(root, start, kernels):
    """Of the same kernels; parts round otherwise, and Adam's steps magnify that.

    One process with parts of one pair is 0.3 % (auto) and 0.5 % (builtin) from one with the whole
    batch: of each hundred thousand weights one has a gradient near zero and steps the other way.
    """
    flags = ["--kernels", kernels]
    alone, weights = train_alone(root / "one", start, 4, *flags)
    training = Together(root / "two", start, 4, more=["--micro_batch", 1, *flags]).launch()
    assert training.wait()[::2] == (0, "")
    assert_equal_to_one_process(training, alone, weights, start, 4, apart=0.02)


# Stopped, killed, continued.


@pytest.fixture(scope="module")
def whole(start):
    """A training that nothing interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        training = Together(Path(folder), start, STEPS).launch()
        assert training.wait()[::2] == (0, "")
        yield training


def assert_goes_on_as_if_never_stopped(training, whole):
    run = training.run_id()
    code, output, errors = training.launch(run).wait()
    assert code == 0, (output, errors)
    ends = [one.checkpoint(STEPS) for one in (training, whole)]
    assert ends[0].path.read_bytes() == ends[1].path.read_bytes()
    assert moments_of(ends[0]) == moments_of(ends[1])
    assert rows_of(training.root, "epe") == rows_of(whole.root, "epe")
    validated = rows_of(training.root, "val_epe")
    # One may have been broken off.
    assert validated.items() <= rows_of(whole.root, "val_epe").items()
    assert validated[6]


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "number", "guard"),
    [
        ("worker", 0, False),
        ("worker", 1, False),
        ("server", 0, False),
        ("scheduler", 0, False),
        ("worker", 1, True),
        ("server", 0, True),
    ],
)
def test_whichever_process_is_killed_all_end_and_a_restart_continues(
    root, start, whole, kind, number, guard
):
    training = Together(root, start, STEPS).launch()
    training.wait_for_step(3)
    began = time.monotonic()
    os.kill(training.pid_of(kind, number, guard), signal.SIGKILL)
    code, _, errors = training.wait()
    assert time.monotonic() - began < BOUND_S
    assert code == 1
    name = kind if kind == "scheduler" else f"{kind} {number}"
    assert f".launch: {name} was killed by SIGKILL; the other processes " in errors
    assert "-c RUN" in errors and "Traceback" not in errors
    newest = training.steps()[-1]
    if (kind, number) == ("worker", 0):
        assert newest >= 2  # the last in its interval
    else:  # worker 0 wrote what it had when it was told
        assert newest == max(rows_of(training.root, "epe"))
    assert_goes_on_as_if_never_stopped(training, whole)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_launcher_stops_all_at_the_same_step(root, start, whole, number):
    training = Together(root, start, STEPS).launch()
    training.wait_for_step(3)
    for _ in range(2):  # as a batch system may send it
        os.kill(training.process.pid, number)
        time.sleep(0.2)
    code, _, errors = training.wait()
    assert code == 128 + number, errors
    assert errors.count("stopping after this step and its checkpoint") == 2
    assert training.steps()[-1] == max(rows_of(training.root, "epe")) < STEPS
    assert_goes_on_as_if_never_stopped(training, whole)


@pytest.mark.long
@pytest.mark.parametrize("worker", [0, 1])
def test_one_worker_that_is_asked_to_stop_stops_all(root, start, whole, worker):
    training = Together(root, start, STEPS).launch()
    training.wait_for_step(3)
    os.kill(training.pid_of("worker", worker), signal.SIGTERM)
    code, _, errors = training.wait()
    assert code == 143
    assert "killed" not in errors and "Traceback" not in errors
    assert training.steps()[-1] == max(rows_of(training.root, "epe")) < STEPS
    assert_goes_on_as_if_never_stopped(training, whole)


@pytest.mark.long
def test_one_process_continues_what_two_began(root, start, whole):
    training = Together(root, start, STEPS).launch()
    training.wait_for_step(3)
    os.kill(training.process.pid, signal.SIGTERM)
    assert training.wait()[0] == 143
    assert main([*training.argv(training.run_id()), "--batch", "4"]) == 0
    own, wanted = (arrays_of(one.checkpoint(STEPS).path) for one in (training, whole))
    assert distance(own, wanted) < 1e-3 * distance(wanted, arrays_of(start))


@pytest.mark.long
def test_a_launcher_that_is_killed_leaves_a_checkpoint_and_no_process(root, start, whole):
    training = Together(root, start, STEPS, launcher=["--grace", 20]).launch()
    training.wait_for_step(3)
    training.process.kill()
    training.process.communicate()
    assert training.wait_for_nothing_left(BOUND_S) == []
    assert training.steps()[-1] == max(rows_of(training.root, "epe"))
    assert_goes_on_as_if_never_stopped(training, whole)


@pytest.mark.long
def test_a_process_that_stands_still_is_killed_after_its_grace(root, start):
    training = Together(root, start, 1000, launcher=["--grace", 10]).launch()
    training.wait_for_step(3)
    os.kill(training.pid_of("worker", 1), signal.SIGSTOP)
    os.kill(training.process.pid, signal.SIGTERM)
    code, _, errors = training.wait()
    assert code == 143
    assert "worker 1 did not end in time and is killed" in errors
    assert training.steps()[-1] == max(rows_of(training.root, "epe"))


# What only one worker meets.


def write_program(root, change):
    """Write a main.py that does something else on worker 1; return its path."""
    program = root / "program.py"
    program.write_text(
        "import os, sys\n"
        f"sys.path.append({str(TESTS)!r})\n"
        "from thin_main import main\n"
        "from maskflownet.network import Pipeline\n"
        "from maskflownet.reader.loading import Loader\n"
        "from maskflownet.config import InputError\n"
        "argv = sys.argv[1:]\n"
        "if os.environ.get('DMLC_TASK_ID') == '1':\n"
        f"{textwrap.indent(textwrap.dedent(change), '    ')}\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(main(argv))\n"
    )
    return str(program)


@pytest.mark.long
def test_workers_that_do_not_begin_alike_say_so(root, start):
    training = Together(root, start, STEPS)
    training.program = write_program(root, "argv += ['--seed', '1']")
    code, _, errors = training.launch().wait()
    assert code == 2
    assert "the workers do not begin alike" in errors
    assert not (root / "logs").exists()


@pytest.mark.long
def test_a_loss_that_is_not_finite_on_one_worker_is_an_update_on_none(root, start):
    training = Together(root, start, 4)
    training.program = write_program(
        root,
        """
        train_batch = Pipeline.train_batch
        flows = iter([1, float("nan"), 1, 1])
        def changed(self, image1, image2, flow, *rest):
            return train_batch(self, image1, image2, flow * next(flows), *rest)
        Pipeline.train_batch = changed
        """,
    )
    code, output, errors = training.launch().wait()
    assert (code, errors) == (0, "")
    assert sorted(rows_of(training.root, "epe")) == [1, 3, 4]
    bad = [line for line in output.splitlines() if "steps=2, loss=nan, no update" in line]
    assert {line.split("]")[0] for line in bad} == {"[worker 0", "[worker 1"}
    _, updates, _ = moments_of(training.checkpoint(4))
    assert updates == 3


@pytest.mark.long
def test_data_that_fails_on_one_worker_does_not_cost_the_steps_made(root, start):
    training = Together(root, start, STEPS, checkpoint_steps=100)
    training.program = write_program(
        root,
        """
        batches = Loader.batches
        def failing(self, *arguments):
            for batch in batches(self, *arguments):
                if batch.step == 4:
                    raise InputError("9 of 10 pairs cannot be used")
                yield batch
        Loader.batches = failing
        """,
    )
    code, _, errors = training.launch().wait()
    assert code == 2
    assert "[worker 1] main.py: error: 9 of 10 pairs cannot be used" in errors
    assert training.steps() == [max(rows_of(training.root, "epe"))]


@pytest.mark.long
def test_a_worker_may_have_several_devices(root, start, whole):
    training = Together(root, start, STEPS)
    training.program = write_program(
        root,
        """
        import mxnet as mx
        from maskflownet.tasks.training import plan
        plan.devices = lambda ids: [mx.cpu(number) for number in ids]
        argv += ["-g", "0,1"]
        """,
    )
    assert training.launch().wait()[::2] == (0, "")
    own, wanted = (arrays_of(one.checkpoint(STEPS).path) for one in (training, whole))
    assert distance(own, wanted) < 1e-3 * distance(wanted, arrays_of(start))


# Several machines.


@pytest.fixture(params=["addresses", "namespaces"])
def machines(request, tmp_path):
    """Return the launcher's flags for two machines: own addresses, or networks of their own."""
    inside = {"addresses": "", "namespaces": 'ip netns exec "$1" '}[request.param]
    remote = tmp_path / "remote"  # as ssh, it does not pass the environment on
    remote.write_text(f'#!/bin/sh\nexec {inside}env -i PATH="$PATH" sh -c "$2"\n')
    remote.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\n127.0.0.2\n")
    with contextlib.ExitStack() as stack:
        if inside:
            hosts.write_text(stack.enter_context(two_namespaces()))
        yield ["-H", hosts, "--rsh", remote, "-s", 2]


@pytest.mark.long
def test_two_machines_train_as_one_does(root, start, whole, machines):
    training = Together(root, start, STEPS, machines).launch()
    assert training.wait()[::2] == (0, "")
    own, wanted = (arrays_of(one.checkpoint(STEPS).path) for one in (training, whole))
    assert distance(own, wanted) < 1e-3 * distance(wanted, arrays_of(start))


@pytest.mark.long
def test_a_death_on_another_machine_ends_all(root, start, machines):
    training = Together(root, start, 1000, machines).launch()
    training.wait_for_step(3)
    os.kill(training.pid_of("worker", 1), signal.SIGKILL)
    code, _, errors = training.wait()
    assert code == 1
    assert "worker 1 on " in errors and "was killed by SIGKILL" in errors
    assert training.steps()[-1] == max(rows_of(training.root, "epe"))
