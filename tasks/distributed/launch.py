"""Starts a training on several machines, or several processes of one, and watches over it.

`python -m maskflownet.tasks.distributed.launch -n WORKERS [-s SERVERS] [-H FILE] -- main.py CONFIG
... --kvstore dist_sync`
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.tasks.command_line import OneLineParser, count, positive, run_program
from maskflownet.tasks.distributed.hosts import (
    LOOPBACK,
    Host,
    Role,
    check_port,
    environment,
    free_port,
    guarded_command,
    make_roles,
    over_there,
    read_hosts,
)
from maskflownet.tasks.signals import on_request

# Without a password, which nobody could type; and a machine that is gone is noticed in 45 s.
RSH = "ssh -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=3"
GRACE_S = 120
MOST_PROCESSES = 1000
LEAVING_S = 15  # those who end well end together, give or take this
SERVERS_LEAVING_S = 5  # and the servers after the last worker, if there was anything to serve
SIGN_OF_LIFE_S = 10
LOOK_S = 0.05
SIGNALS = {signal.SIGINT: "INT", signal.SIGTERM: "TERM", signal.SIGHUP: "TERM"}
STOPPED = [128 + number for number in SIGNALS]


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.distributed.launch",
        usage="%(prog)s -n WORKERS [options] -- main.py CONFIG ... --kvstore dist_sync",
        description="Train on several machines with MXNet's parameter server. Each worker takes a "
        "batch of --batch pairs per step; the gradients are added up.",
        epilog="docs/several-machines.md says more.",
    )
    add = parser.add_argument
    add(
        "-n",
        "--workers",
        metavar="N",
        type=count(MOST_PROCESSES),
        required=True,
        help="how many train",
    )
    add(
        "-s",
        "--servers",
        metavar="N",
        type=count(MOST_PROCESSES),
        default=1,
        help="how many add up gradients",
    )
    add("-H", "--hostfile", metavar="FILE", type=Path, help="machines, one per line; else this one")
    add(
        "--rsh",
        metavar="COMMAND",
        default=RSH,
        help="what runs a command on a machine (%(default)s)",
    )
    add("--port", metavar="N", type=positive, help="of the scheduler; by default a free one")
    add(
        "--grace",
        metavar="SECONDS",
        type=positive,
        default=GRACE_S,
        help="that workers get to finish their step and write a checkpoint (%(default)s)",
    )
    add("command", nargs="+", metavar="main.py ...", help="the workers' program, its arguments")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Launch a training and return its exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("python -m maskflownet.tasks.distributed.launch", lambda: launch(arguments))


def launch(arguments: argparse.Namespace) -> int:
    """Start all processes, watch them, and leave none behind.

    Returns
    -------
    int
        0 where all workers ended well; 130 or 143 where they were stopped; else that of the process
        that failed first, or 1 where a signal ended it.

    Raises
    ------
    InputError
        The hostfile, the program or the remote shell is not what it should be.
    """
    program = arguments.command[0]
    if not Path(program).is_file():
        raise MissingDataError(f"{program}: there is no such program; expected main.py")
    if not any(word.partition("=")[0] == "--kvstore" for word in arguments.command):
        raise InputError(
            f"{program} would work on its own in every process: add --kvstore dist_sync behind it"
        )
    if arguments.port is not None and arguments.port > 65535:
        raise InputError(f"--port {arguments.port}: expected a number up to 65535")
    hosts = [Host(None, LOOPBACK)]
    if arguments.hostfile is not None:
        hosts = read_hosts(arguments.hostfile)
        _check_remote_shell(arguments.rsh)
    roles = make_roles(arguments.workers, arguments.servers, hosts)
    if arguments.port is not None:
        check_port(hosts[0].address, arguments.port)
    port = arguments.port or free_port(hosts[0].address)
    noted = []
    with on_request(noted.append), contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_Process(role, roles, port, arguments)) for role in roles]
        return _Watch(processes, noted, arguments.grace).run()


def _check_remote_shell(rsh):
    try:
        words = shlex.split(rsh)
    except ValueError:  # a quotation mark without another
        words = []
    if not words or shutil.which(words[0]) is None:
        raise InputError(f"--rsh {rsh!r}: expected a command that is there")


class _Process:
    """A process of the training, behind its guard; at the end of the block it is gone.

    Attributes
    ----------
    role : Role
    exit_code : int or None
        None while it runs; 128 + n where signal n ended it.
    """

    _printing = threading.Lock()

    def __init__(self, role: Role, roles: Sequence[Role], port: int, arguments):
        self.role = role
        self.exit_code: int | None = None
        variables = environment(role, roles, port)
        command = guarded_command(role, arguments.command, arguments.grace)
        if role.host.name:
            command = over_there(arguments.rsh, role.host, command, variables)
        self._guard = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        streams = ((self._guard.stdout, sys.stdout), (self._guard.stderr, sys.stderr))
        self._threads = [
            threading.Thread(target=self._forward, args=pair, daemon=True) for pair in streams
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Kill what still runs, and wait for it."""
        self.tell("KILL")
        try:
            self._guard.wait(LEAVING_S)
        except subprocess.TimeoutExpired:  # a connection that hangs; the guard notices the end
            self._guard.kill()
            self._guard.wait()
        self._guard.stdin.close()
        for thread in self._threads:
            thread.join(1)

    def _forward(self, source, target):
        with source:
            for line in source:
                text = line.decode(errors="replace").rstrip()
                with self._printing, contextlib.suppress(OSError):
                    print(f"[{self.role}] {text}", file=target, flush=True)

    def tell(self, word: str) -> None:
        """Tell the guard to pass a signal on; an empty word is a sign of life."""
        with contextlib.suppress(OSError):
            os.write(self._guard.stdin.fileno(), f"{word}\n".encode())

    def has_ended(self) -> bool:
        """Return whether it has, all its output shown; `exit_code` is set then."""
        code = self._guard.poll()
        if code is None or self.exit_code is not None:
            return code is not None
        for thread in self._threads:
            thread.join(1)
        self.exit_code = code if code >= 0 else 128 - code
        return True

    def how_it_ended(self) -> str:
        """Return how, in words."""
        if self.exit_code == 255 and self.role.host.name:
            return "was lost (exit code 255: no connection, or it broke)"
        if self.exit_code > 128:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(self.exit_code - 128).name}"
        return f"ended with exit code {self.exit_code}"


class _Watch:
    """Waits for the end of a training, and sees to it that it comes for all."""

    def __init__(self, processes: Sequence[_Process], noted: list[int], grace: float):
        self._processes = processes
        self._workers = [one for one in processes if one.role.kind == "worker"]
        self._noted = noted
        self._grace = grace
        self._deadline = None  # when all that still runs is killed
        self._urged_at = None  # when workers are told not to wait for one that stands still
        self._has_parted = False
        self._code = None

    def run(self) -> int:
        """Return the exit code once all workers have ended, or had their time to."""
        sign_at = 0.0
        while not all(worker.has_ended() for worker in self._workers):
            if time.monotonic() > sign_at:
                self._tell_all("")
                sign_at = time.monotonic() + SIGN_OF_LIFE_S
            self._heed_signals()
            if len(self._noted) > 1 or self._is_over():
                break
            self._heed_ends()
            time.sleep(LOOK_S)
        self._heed_ends()
        self._report_late_ones()
        self._let_servers_end()
        return self._code or 0

    def _tell_all(self, word, kinds=("scheduler", "server", "worker")):
        for process in self._processes:
            if process.role.kind in kinds and process.exit_code is None:
                process.tell(word)

    def _is_over(self):
        return self._deadline is not None and time.monotonic() > self._deadline

    def _heed_signals(self):
        """Pass the first on to the workers, who agree on a last step."""
        if self._noted and self._urged_at is None:
            number = self._noted[0]
            self._code = self._code or 128 + number
            self._deadline = time.monotonic() + self._grace
            self._urged_at = time.monotonic() + self._grace / 2
            self._tell_all(SIGNALS[number], ["worker"])
        if self._urged_at is not None and time.monotonic() > self._urged_at:
            self._part()

    def _part(self):
        """Tell the workers to leave without waiting for each other, but for what they can save."""
        if not self._has_parted:
            self._has_parted = True
            self._tell_all("USR1", ["worker"])

    def _heed_ends(self):
        """See whether a process has ended; all others are to end then too."""
        for process in self._processes:
            if self._has_parted or not process.has_ended():
                continue
            well = (0, *STOPPED) if process.role.kind == "worker" else (0,)
            if process.exit_code not in well:
                self._give_up(process)
                continue
            self._code = self._code or process.exit_code
            if self._deadline is None:  # they stop at the same step and leave together
                self._deadline = time.monotonic() + LEAVING_S

    def _give_up(self, process):
        self._say(
            f"{process.role} {process.how_it_ended()}; the other processes save what they have and "
            "end. See to the cause (its last lines above may tell); then, if worker 0 had named a "
            "run, launch the same with -c RUN to continue from its newest checkpoint"
        )
        if not self._noted:
            self._code = process.exit_code if process.exit_code < 128 else 1
        self._deadline = time.monotonic() + self._grace
        self._part()
        self._tell_all("TERM", ["scheduler", "server"])

    def _report_late_ones(self):
        for worker in self._workers:
            if not worker.has_ended():
                self._code = self._code or 1
                self._say(f"{worker.role} did not end in time and is killed")

    def _let_servers_end(self):
        """They do so by themselves after the last worker, if all went well."""
        until = time.monotonic() + SERVERS_LEAVING_S
        while not self._code and time.monotonic() < until:
            if all(process.has_ended() for process in self._processes):
                return
            time.sleep(LOOK_S)

    @staticmethod
    def _say(text):
        with contextlib.suppress(OSError):
            print(
                f"python -m maskflownet.tasks.distributed.launch: {text}",
                file=sys.stderr,
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
