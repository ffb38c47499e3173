"""How much memory is said to be free, and into what parts a batch is split for it."""

import logging

import pytest

from tasks import memory
from tasks.memory import BESIDES, BYTES_PER_PIXEL, SHARE, free_bytes, micro_batch, shortage

GB = 10**9
NEW = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
OLD = (
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)


def machine(folder, available, groups=""):
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(
        f"MemTotal: 99999999 kB\nMemAvailable: {available // 1024} kB\n"
    )
    (folder / "proc/self/cgroup").write_text(groups)
    return folder


def group(root, names, inside, limit, used, cached):
    top, limit_name, used_name, field = names
    folder = root / top / inside
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / used_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{field} {cached}\n")


def test_a_machine_without_limits(tmp_path):
    assert free_bytes(machine(tmp_path, 8 * 1024**3)) == 8 * 1024**3


def test_where_nothing_is_known(tmp_path):
    assert free_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("names", "line"),
    [(NEW, "0::/job/step"), (OLD, "4:memory:/job/step"), (OLD, "4:memory:/elsewhere")],
)
def test_the_limit_of_a_container_or_batch_job_counts(tmp_path, names, line):
    root = machine(tmp_path, 64 * GB, f"9:cpu,cpuacct:/job\n{line}\n")
    unlimited = "max" if names is NEW else 2**63 - 4096
    group(root, names, "job/step", unlimited, GB, 0)
    group(root, names, "", 6 * GB, 5 * GB, 3 * GB)
    assert free_bytes(root) == 4 * GB  # files that are only cached make room


def test_the_strictest_limit_above_counts(tmp_path):
    root = machine(tmp_path, 64 * GB, "0::/job/step\n")
    group(root, NEW, "job/step", 20 * GB, GB, 0)
    group(root, NEW, "job", 10 * GB, GB, 0)
    assert free_bytes(root) == 9 * GB


@pytest.mark.parametrize(
    ("samples", "batch", "devices", "wanted"),
    [(8, 8, 1, 8), (7.9, 8, 1, 4), (3.9, 8, 1, 2), (1, 8, 1, 1), (4, 8, 2, 4), (5, 6, 2, 2)],
)
def test_the_most_that_fits_and_divides(monkeypatch, caplog, samples, batch, devices, wanted):
    pixels = 320 * 448
    free = (BESIDES + samples * BYTES_PER_PIXEL["MaskFlownet_S"] * pixels + 1) / SHARE
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    assert micro_batch(batch, "MaskFlownet_S", (320, 448), devices) == wanted
    assert caplog.messages == []


def test_where_not_even_one_pair_fits_there_is_a_warning(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(memory, "free_bytes", lambda: GB)
    assert micro_batch(8, "MaskFlownet", (384, 768), 2) == 2
    (message,) = caplog.messages
    assert "parts of 2 at 768x384 pixels need about 14.2 GB" in message and "1.0 GB" in message


def test_what_is_not_known_does_not_split_a_batch(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert micro_batch(8, "MaskFlownet_S", (320, 448), 1) == 8


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\n  File x\nMXNetError: Failed to allocate CPU Memory\n",
        "MXNetError: could not create a primitive",
        "MXNetError: Check failed: e == cudaSuccess: CUDA: out of memory",
    ],
)
def test_a_step_that_lacks_memory_says_what_to_do_in_one_line(text):
    message = str(shortage(RuntimeError(text), 4))
    assert message.startswith("a step with 4 pairs at a time needs more memory")
    assert "--micro_batch" in message and "\n" not in message


@pytest.mark.parametrize("text", ["", "Check failed: shapes differ"])
def test_other_errors_are_left_alone(text):
    assert shortage(RuntimeError(text), 4) is None
