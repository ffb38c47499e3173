"""Which processes a training on several machines has, where they run, and how each is started."""

import ipaddress
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from maskflownet.config.errors import InputError, MissingDataError

LOOPBACK = "127.0.0.1"
# A parameter server or scheduler serves while MXNet is being imported, and ends with the training.
SERVE = ("-c", "from maskflownet import runtime; import mxnet")
SILENCE_S = 60  # without a sign of life from the launcher
# What is not passed on by ssh but decides how MXNet runs, and on which data.
PASSED_ON = ("MASKFLOWNET_", "OMP_", "GOMP_", "OPENBLAS_", "MXNET_", "PS_", "CUDA_", "NVIDIA_")
# In `runtime`, whose import would have effects.
SHARED_BY = "MASKFLOWNET_SHARED_BY"
# Below what Linux gives out by itself.
PORTS = range(20_000, 30_000)


class Host(NamedTuple):
    """A machine.

    Attributes
    ----------
    name : str or None
        As ssh takes it; None for this machine, without ssh.
    address : str
        Where the other machines reach it.
    """

    name: str | None
    address: str


class Role(NamedTuple):
    """A process of the training: the scheduler, a server or a worker, with its number."""

    kind: str
    number: int
    host: Host

    def __str__(self):
        """Return what messages call it."""
        name = self.kind if self.kind == "scheduler" else f"{self.kind} {self.number}"
        return f"{name} on {self.host.name}" if self.host.name else name


def read_hosts(path: Path) -> list[Host]:
    """Read a hostfile: a machine per line, `NAME` or `NAME ADDRESS`; `#` begins a comment.

    NAME is what ssh takes, such as `user@machine`. ADDRESS is where the other machines reach it, by
    default what the name stands for.

    Raises
    ------
    InputError
        A line is none, a name stands for no address, or for one that others cannot reach.
    MissingDataError
        There is no such file.
    """
    if not path.is_file():
        raise MissingDataError(f"-H {path}: there is no such hostfile")
    hosts = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"-H {path}: expected a text file, a machine per line") from error
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if len(words) > 2 or any(word.startswith("-") for word in words):
            raise InputError(
                f"{path}:{number}: expected NAME or NAME ADDRESS of a machine, got {line.strip()!r}"
            )
        if words:
            hosts.append(Host(words[0], _address(words[-1].rpartition("@")[2], path, number)))
    if not hosts:
        raise InputError(f"{path}: expected the name of a machine per line, got none")
    loopback = [ipaddress.ip_address(host.address).is_loopback for host in hosts]
    if any(loopback) and not all(loopback):
        host = hosts[loopback.index(True)]
        raise InputError(
            f"{path}: {host.name} stands for {host.address}, which the other machines cannot "
            "reach: write its address behind the name"
        )
    return hosts


def _address(name, path, number):
    try:
        return socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{path}:{number}: no IPv4 address is known of {name}: see to the name, or write the "
            "address behind it"
        ) from error


def make_roles(workers: int, servers: int, hosts: Sequence[Host]) -> list[Role]:
    """Return all processes, the scheduler first; servers and workers are dealt out in turn."""
    counts = {"scheduler": 1, "server": servers, "worker": workers}
    return [
        Role(kind, number, hosts[number % len(hosts)])
        for kind, count in counts.items()
        for number in range(count)
    ]


def environment(role: Role, roles: Sequence[Role], port: int) -> dict[str, str]:
    """Return the variables that say what a process is: to MXNet, to its worker, to `runtime`."""
    counts = {kind: sum(other.kind == kind for other in roles) for kind in ("worker", "server")}
    on_one_machine = sum((other.kind, other.host) == (role.kind, role.host) for other in roles)
    return {
        SHARED_BY: str(on_one_machine if role.kind == "worker" else 1),
        "DMLC_ROLE": role.kind,
        "DMLC_TASK_ID": str(role.number),
        "DMLC_NUM_WORKER": str(counts["worker"]),
        "DMLC_NUM_SERVER": str(counts["server"]),
        "DMLC_PS_ROOT_URI": roles[0].host.address,
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NODE_HOST": role.host.address,
    }


def guarded_command(role: Role, command: Sequence[str], grace: float) -> list[str]:
    """Return what starts a process and its guard on its machine: Python's arguments.

    Parameters
    ----------
    role : Role
    command : sequence of str
        The workers' program with its arguments, such as main.py.
    grace : float
        Seconds from being asked to end to being killed.
    """
    guard = [sys.executable, "-m", "maskflownet.tasks.distributed.guard", "--grace", f"{grace:g}"]
    if role.host.name:
        guard += ["--silence", str(SILENCE_S)]
    return [*guard, "--", sys.executable, *(command if role.kind == "worker" else SERVE)]


def over_there(rsh: str, host: Host, command: Sequence[str], variables: dict) -> list[str]:
    """Return the command that runs another one on another machine, in the same folder there."""
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    settings = [f"{name}={value}" for name, value in (passed_on | variables).items()]
    line = f"cd {shlex.quote(str(Path.cwd()))} && exec env {shlex.join([*settings, *command])}"
    return [*shlex.split(rsh), host.name, line]


def free_port(address: str) -> int:
    """Return a port that nobody listens at; on another machine, one where few programs do."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:  # no address of this machine
            return secrets.choice(PORTS)
        return probe.getsockname()[1]


def check_port(address: str, port: int) -> None:
    """Raise InputError where a scheduler at an address of this machine could not have the port."""
    with socket.socket() as probe, socket.socket() as listener:
        try:
            probe.bind((address, 0))
        except OSError:  # no address of this machine
            return
        # As the scheduler does it: at all addresses, at once after another that has ended.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be listened at ({error.strerror}): name another, or leave "
                "--port out to have one chosen"
            ) from error
