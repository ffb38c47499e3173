"""Which processes the launcher starts and where, the guard's patience, mistakes in what is said."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskflownet import runtime
from maskflownet.tasks.distributed import hosts, launch
from maskflownet.tasks.distributed.hosts import Host, check_port, free_port, make_roles, read_hosts

REPOSITORY = Path(__file__).parents[3]


def write_hosts(folder, text):
    path = folder / "hosts"
    path.write_text(text)
    return path


def test_hosts_and_roles(tmp_path):
    found = read_hosts(write_hosts(tmp_path, "# two\n a@b\t10.0.0.1 \n10.0.0.2#x\n"))
    assert found == [Host("a@b", "10.0.0.1"), Host("10.0.0.2", "10.0.0.2")]
    names = [str(role) for role in make_roles(3, 1, found)]
    assert names == [
        *("scheduler on a@b", "server 0 on a@b"),
        *("worker 0 on a@b", "worker 1 on 10.0.0.2", "worker 2 on a@b"),
    ]
    assert free_port("127.0.0.1") > 1023
    assert free_port("192.0.2.1") in hosts.PORTS  # of another machine


def test_workers_share_the_cores_of_their_machine_alone():
    roles = make_roles(3, 2, [Host("a", "10.0.0.1"), Host("b", "10.0.0.2")])
    shared_by = [hosts.environment(role, roles, 1234)[hosts.SHARED_BY] for role in roles]
    assert shared_by == ["1", "1", "1", "2", "1", "2"]
    assert hosts.SHARED_BY == runtime.SHARED_BY


def test_a_process_is_told_its_place_and_where_all_meet():
    roles = make_roles(3, 2, [Host("a", "10.0.0.1"), Host("b", "10.0.0.2")])
    told = hosts.environment(roles[4], roles, 1234)  # worker 1, on the second machine
    assert told == {
        "DMLC_ROLE": "worker",
        "DMLC_TASK_ID": "1",
        "DMLC_NUM_WORKER": "3",
        "DMLC_NUM_SERVER": "2",
        "DMLC_PS_ROOT_URI": "10.0.0.1",
        "DMLC_PS_ROOT_PORT": "1234",
        "DMLC_NODE_HOST": "10.0.0.2",
        hosts.SHARED_BY: "1",
    }


def test_a_machine_that_hears_no_more_of_the_launcher_ends_its_process(tmp_path):
    """The pipe stays open, as that of a connection whose other end has lost its power."""
    guard = [
        sys.executable,
        "-m",
        "maskflownet.tasks.distributed.guard",
        "--grace",
        "0.2",
        "--silence",
        "0.5",
        "--",
    ]
    command = [*guard, sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE) as process:
        assert process.wait(20) == 128 + signal.SIGKILL


STOPPABLE = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def stop(*_):
    time.sleep(0.5)
    (folder / "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
(folder / "new").write_text(str(os.getpid()))
(folder / "new").rename(folder / "pid")
time.sleep(60)
"""


def start_guarded(folder, role, grace):
    """Start a process that takes its time to stop, behind its guard; return guard and pid."""
    guard = [sys.executable, "-m", "maskflownet.tasks.distributed.guard", "--grace", grace, "--"]
    process = subprocess.Popen(
        [*guard, sys.executable, "-c", STOPPABLE, str(folder)],
        **{"cwd": REPOSITORY, "stdin": subprocess.PIPE, "env": os.environ | {"DMLC_ROLE": role}},
    )
    while not (folder / "pid").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process, int((folder / "pid").read_text())


@pytest.mark.parametrize(
    ("role", "grace", "code"),
    [("worker", "30", 143), ("worker", "0.1", 137), ("server", "2", 137)],
)
def test_without_a_launcher_workers_may_finish_and_servers_serve_on(tmp_path, role, grace, code):
    process, _ = start_guarded(tmp_path, role, grace)
    process.stdin.close()
    assert process.wait(20) == code
    assert (tmp_path / "saved").exists() == (code == 143)


def test_a_guard_that_is_killed_leaves_nothing(tmp_path):
    process, pid = start_guarded(tmp_path, "worker", "30")
    process.kill()
    process.wait()
    process.stdin.close()
    until = time.monotonic() + 20
    with contextlib.suppress(OSError):  # it is gone
        while "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
            assert time.monotonic() < until
            time.sleep(0.01)


# Mistakes.


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-n", "0"], "argument -n/--workers: expected a whole number from 1 to 1000, got '0'"),
        (["-n", "two"], "expected a whole number from 1 to 1000, got 'two'"),
        (["-n", "2", "-s", "-1"], "argument -s/--servers"),
        ([], "arguments are required: -n/--workers"),
        (["-n", "2", "-H", "nowhere"], "-H nowhere: there is no such hostfile"),
        (["-n", "2", "-H", "empty"], "empty: expected the name of a machine per line, got none"),
        (
            ["-n", "2", "-H", "words"],
            "words:2: expected NAME or NAME ADDRESS of a machine, got 'a b c'",
        ),
        (["-n", "2", "-H", "option"], "option:1: expected NAME or NAME ADDRESS"),
        (["-n", "2", "-H", "unknown"], "unknown:1: no IPv4 address is known of no.such.invalid"),
        (["-n", "2", "-H", "mixed"], "mixed: here stands for 127.0.1.1, which the other machines"),
        (["-n", "2", "-H", "binary"], "-H binary: expected a text file"),
        (["-n", "2", "-H", "good", "--rsh", "no-such-ssh -x"], "--rsh 'no-such-ssh -x': expected"),
        (["-n", "2", "-H", "good", "--rsh", "ssh '-x"], '-x": expected a command that is there'),
        (["-n", "2", "--port", "70000"], "--port 70000: expected a number up to 65535"),
        (["-n", "2", "--grace", "0"], "argument --grace"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "_Process", None)  # nothing is started
    files = {
        "empty": b"# nobody\n\n",
        "words": b"127.0.0.1\na b c\n",
        "option": b"-oProxyCommand=x\n",
        "unknown": b"no.such.invalid\n",
        "mixed": b"here 127.0.1.1\n10.0.0.2\n",
        "binary": b"\xff\xfe\x00",
        "good": b"127.0.0.1\n",
        "program.py": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert exit_code([*flags, "--", "program.py", "--kvstore", "dist_sync"]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and said in errors and errors.count("\n") == 1


def exit_code(argv):
    try:
        return launch.main(argv)
    except SystemExit as error:
        return error.code


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["nowhere.py"], "nowhere.py: there is no such program"),
        (["main.py", "--valid"], "main.py would work on its own in every process: add --kvstore"),
        ([], "are required: main.py ..."),
    ],
)
def test_a_program_that_is_not_what_it_should_be(tmp_path, monkeypatch, capsys, command, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").touch()
    assert exit_code(["-n", "2", "--", *command]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken(tmp_path, capsys):
    program = tmp_path / "program.py"
    program.touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = ["--", str(program), "--kvstore", "dist_sync"]
        assert exit_code(["-n", "2", "--port", str(port), *command]) == 2
        assert f"--port {port}: cannot be listened at (Address already in use)" in (
            capsys.readouterr().err
        )
        check_port("192.0.2.1", port)  # that of another machine
    check_port("127.0.0.1", port)


def test_a_port_that_a_training_has_just_left():
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        address = scheduler.getsockname()
        with socket.create_connection(address):
            connection, _ = scheduler.accept()
            connection.close()  # first, so that the system keeps this end for a minute
    check_port(*address)
