"""The launcher around programs that only pretend to train: what is started, told, said, ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import group_of

from maskflownet import runtime
from maskflownet.tasks import signals
from maskflownet.tasks.distributed import hosts, launch

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 60
HEAD = """
import os, signal, sys, time
worker = int(os.environ["DMLC_TASK_ID"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
def leave(*_):
    print("told to leave", flush=True)
    sys.exit(2)
signal.signal(signal.SIGUSR1, leave)
def path(number):
    return os.path.join(os.path.dirname(__file__), f"ready-{number}")
def get_ready():
    open(path(worker), "w").close()
    while not (os.path.exists(path(0)) and os.path.exists(path(1))):
        time.sleep(0.01)
def wait():
    print("waits", flush=True)
    get_ready()
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def servers_without_mxnet(monkeypatch):
    """Servers and schedulers that serve nothing, until they are killed."""
    monkeypatch.setattr(hosts, "SERVE", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(launch, "SERVERS_LEAVING_S", 0.2)
    monkeypatch.setattr(launch, "LEAVING_S", 1)


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that launches two workers with a body; code, output, errors come back."""

    def run(body, *flags, during=None):
        program = tmp_path / "program.py"
        program.write_text(HEAD + body)

        def act():
            wait_until_ready(tmp_path)
            during()

        thread = threading.Thread(target=act if during else (lambda: None))
        thread.start()
        command = [str(program), "--kvstore=dist_sync", "a b"]
        code = launch.main(["-n", "2", *map(str, flags), "--", *command])
        thread.join()
        assert own_children() == []
        return (code, *capsys.readouterr())

    return run


def wait_until_ready(folder):
    """Wait until both workers have set up what they do on signals."""
    deadline = time.monotonic() + PATIENCE_S
    while len(list(folder.glob("ready-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)


def own_children():
    command = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if "guard" in line]


# What is started.


def test_each_worker_knows_its_part_and_the_arguments(run):
    code, output, errors = run(
        "names = 'ROLE TASK_ID NUM_WORKER NUM_SERVER PS_ROOT_URI NODE_HOST'.split()\n"
        "print(*(os.environ['DMLC_' + name] for name in names), sys.argv[1:])\n",
        *("-s", 3),
    )
    assert (code, errors) == (0, "")
    assert sorted(output.splitlines()) == [
        f"[worker {n}] worker {n} 2 3 127.0.0.1 127.0.0.1 ['--kvstore=dist_sync', 'a b']"
        for n in (0, 1)
    ]


def test_both_kinds_of_output_come_through(run):
    code, output, errors = run("print('out', worker); print('err\\u2192', worker, file=sys.stderr)")
    assert code == 0
    assert sorted(output.splitlines()) == ["[worker 0] out 0", "[worker 1] out 1"]
    assert sorted(errors.splitlines()) == ["[worker 0] err→ 0", "[worker 1] err→ 1"]


def test_workers_of_one_machine_share_its_cores(run, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    look = (
        "import os; from maskflownet import runtime; "
        "print(os.environ['OMP_NUM_THREADS'], runtime.usable_cores())"
    )
    _, output, _ = run(f"sys.path.insert(0, {str(REPOSITORY)!r}); {look}")
    share = max(1, runtime.usable_cores() // 2)
    assert sorted(output.splitlines()) == [f"[worker {n}] {share} {share}" for n in (0, 1)]


# How it ends.


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit(3)", 3, "ended with exit code 3"),
        ("raise ValueError", 1, "ended with exit code 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "was killed by SIGKILL"),
        ("os.kill(os.getppid(), signal.SIGKILL)", 1, "was killed by SIGKILL"),  # its guard
    ],
)
def test_where_one_fails_the_others_are_told(run, end, code, said):
    got, output, errors = run(f"if worker: get_ready(); {end}\nwait()")
    assert got == code
    lines = [
        line
        for line in errors.splitlines()
        if line.startswith("python -m maskflownet.tasks.distributed.launch")
    ]
    assert len(lines) == 1  # what the others end with is no news
    assert f"worker 1 {said}; the other processes save what they have and end" in lines[0]
    assert "-c RUN" in lines[0]
    assert "[worker 0] told to leave" in output


@pytest.mark.parametrize("kind", ["server 0", "scheduler"])
def test_where_a_server_fails_the_workers_are_told(run, monkeypatch, tmp_path, kind):
    body = (
        "import os, time, glob\n"
        f"ready, own = '{tmp_path}/ready-*', os.environ['DMLC_ROLE'] in '{kind}'\n"
        "while not own or len(glob.glob(ready)) < 2:\n"
        "    time.sleep(0.01)\n"
        "1 / 0"
    )
    monkeypatch.setattr(hosts, "SERVE", ("-c", body))
    code, output, errors = run("wait()")
    assert code == 1
    assert (
        f"python -m maskflownet.tasks.distributed.launch: {kind} ended with exit code 1; the other"
        in errors
    )
    assert output.count("told to leave") == 2


def test_who_does_not_leave_is_killed_after_the_grace(run):
    code, _, errors = run(
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "get_ready()\n"
        "if worker: sys.exit(4)\n"
        "wait()",
        *("--grace", 1),
    )
    assert code == 4
    assert "worker 0 did not end in time and is killed" in errors


def test_where_one_ends_well_and_the_other_does_not_end_it_is_killed(run):
    code, _, errors = run("if worker == 0: wait()")
    assert code == 1
    assert "worker 0 did not end in time and is killed" in errors


def test_what_workers_started_is_killed_with_them(run, tmp_path):
    child = "import subprocess; c = subprocess.Popen(['sleep', '60'])"
    code, _, _ = run(f"{child}\nopen(r'{tmp_path}/' + str(worker), 'w').write(str(c.pid))")
    assert code == 0
    for number in (0, 1):
        assert_gone(int((tmp_path / str(number)).read_text()))


def test_a_server_that_ends_first_does_not_hide_that_workers_were_stopped(run, monkeypatch):
    monkeypatch.setattr(hosts, "SERVE", ("-c", ""))
    code, _, errors = run("time.sleep(0.5); sys.exit(143)")
    assert (code, errors) == (143, "")


def assert_gone(pid, seconds=10):
    deadline = time.monotonic() + seconds
    while group_of(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_to_the_workers(run, number):
    def stop():
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    code, output, errors = run("wait()", during=stop)
    assert (code, errors) == (128 + number, "")
    assert output.count("waits") == 2 and "told to leave" not in output
    assert signal.getsignal(number) is before


def test_a_terminal_that_is_closed_stops_nothing_under_nohup(run):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        code, output, _ = run(
            "get_ready(); time.sleep(0.5); print('goes on')",
            during=lambda: os.kill(os.getpid(), signal.SIGHUP),
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    assert code == 0 and output.count("goes on") == 2


def test_a_signal_that_comes_twice_within_seconds_is_one(run):
    def stop():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)

    finish = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), sys.exit(143)))\nwait()"
    code, _, errors = run(finish, during=stop)
    assert (code, errors) == (143, "")


def test_a_second_signal_later_ends_all_at_once(run, monkeypatch):
    monkeypatch.setattr(signals, "REPEAT_S", 0.2)

    def stop():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)

    code, _, errors = run("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwait()", during=stop)
    assert code == 143
    assert errors.count("did not end in time and is killed") == 2


def test_guards_and_servers_outlive_a_signal_to_every_process(run, monkeypatch, tmp_path):
    monkeypatch.setattr(
        hosts, "SERVE", ("-c", f"import time; open(r'{tmp_path}/serves', 'w'); time.sleep(60)")
    )

    def stop():
        while not (tmp_path / "serves").exists():
            time.sleep(0.01)
        own = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
        parent_of = dict(tuple(map(int, line.split())) for line in own.splitlines())
        guards = [pid for pid, parent in parent_of.items() if parent == os.getpid()]
        everything = guards + [pid for pid, parent in parent_of.items() if parent in guards]
        for pid in everything:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    finish = "(time.sleep(0.5), print('saved'), sys.exit(143))"
    body = f"signal.signal(signal.SIGTERM, lambda *_: {finish})\nwait()"
    code, output, errors = run(body, during=stop)
    assert (code, errors) == (143, "")
    assert output.count("saved") == 2


def test_nobody_reading_the_launcher_does_not_stop_the_workers(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"{HEAD}for _ in range(9): print('step', flush=True); time.sleep(0.05)\n"
        f"open(r'{tmp_path}/done' + str(worker), 'w')"
    )
    stub = (
        "import sys; from maskflownet.tasks.distributed import hosts, launch; "
        "hosts.SERVE = ('-c', 'import time; time.sleep(60)'); launch.SERVERS_LEAVING_S = 0.2; "
    )
    argv = ["-n", "2", "--", str(program), "--kvstore", "dist_sync"]
    with subprocess.Popen(
        [sys.executable, "-c", f"{stub}sys.exit(launch.main({argv}))"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert (tmp_path / "done0").exists() and (tmp_path / "done1").exists()


def test_a_worker_that_was_stopped_stops_the_training(run):
    code, _, errors = run("if worker: sys.exit(143)\ntime.sleep(0.3); sys.exit(143)")
    assert (code, errors) == (143, "")


def test_a_launcher_that_is_killed_leaves_nothing(tmp_path):
    program = tmp_path / "program.py"
    note = f"open(r'{tmp_path}/' + str(worker), 'w').write(str(os.getpid()))"
    program.write_text(f"{HEAD}{note}\nwait()")
    stub = (
        "from maskflownet.tasks.distributed import hosts, launch; "
        "hosts.SERVE = ('-c', 'import time; time.sleep(60)'); "
    )
    argv = ["-n", "2", "--grace", "1", "--", str(program), "--kvstore", "dist_sync"]
    command = f"{stub}launch.main({argv})"
    process = subprocess.Popen(
        [sys.executable, "-c", command], cwd=REPOSITORY, start_new_session=True
    )
    paths = [tmp_path / "0", tmp_path / "1"]
    while not all(path.exists() and path.read_text() for path in paths):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    for path in paths:
        assert_gone(int(path.read_text()))


# Several machines.


@pytest.fixture
def remote(tmp_path):
    """A stand-in for ssh that forgets the environment and says which machine it was asked for."""
    script = tmp_path / "ssh"
    script.write_text('#!/bin/sh\nexec env -i PATH="$PATH" MACHINE="$1" sh -c "$2"\n')
    script.chmod(0o755)
    return script


def write_hosts(folder, text):
    path = folder / "hosts"
    path.write_text(text)
    return path


def test_processes_are_dealt_out_over_the_machines(run, remote, tmp_path, monkeypatch):
    monkeypatch.setenv("MASKFLOWNET_OF_MINE", "x y")
    hosts = write_hosts(tmp_path, "me@first 127.0.0.1 # the first\n\n127.0.0.2\n")
    code, output, errors = run(
        "print(os.environ['MACHINE'], os.environ['DMLC_NODE_HOST'],"
        " os.environ['DMLC_PS_ROOT_URI'], os.environ['MASKFLOWNET_OF_MINE'], os.getcwd(),"
        " sys.argv[2])",
        *("-H", hosts, "--rsh", remote),
    )
    assert (code, errors) == (0, "")
    rest = f"127.0.0.1 x y {Path.cwd()} a b"
    assert sorted(output.splitlines()) == [
        f"[worker 0 on me@first] me@first 127.0.0.1 {rest}",
        f"[worker 1 on 127.0.0.2] 127.0.0.2 127.0.0.2 {rest}",
    ]


def test_a_connection_that_is_lost_ends_all(run, remote, tmp_path):
    remote.write_text(remote.read_text().replace("exec", '[ "$1" = 127.0.0.2 ] && exit 255\nexec'))
    hosts = write_hosts(tmp_path, "127.0.0.1\n127.0.0.2\n")
    code, _, errors = run("wait()", "-H", hosts, "--rsh", remote)
    assert code == 1
    assert "worker 1 on 127.0.0.2 was lost (exit code 255: no connection, or it broke)" in errors
