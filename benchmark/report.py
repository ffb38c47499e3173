"""Where the figures of `benchmark.network` and `benchmark.growth` are kept, and their tables."""

import json
import os
import platform
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from maskflownet.config.errors import InputError
from maskflownet.config.files import ROOT
from maskflownet.whole_file import whole_file

DEFAULT = ROOT / "docs" / "speed.json"
BEGIN, END = "<!-- figures: written by `make benchmark` -->", "<!-- end of figures -->"
SECTIONS = {
    "native": "",
    "avx2": "Both sides limited to AVX2 (`--isa avx2`), all but plain's OpenBLAS:",
    "bf16": "The fast path in bf16 (`--precision bf16`) beside itself in float32:",
    "peers": "Others, in times of the fast path's time (`python -m maskflownet.benchmark.peers`):",
}
NAMES = {
    "builtin": "plain",
    "auto": "fast",
    "bf16": "fast, bf16",
    "onnxruntime": "ONNX Runtime",
    "openvino f32": "OpenVINO, f32",
    "openvino bf16": "OpenVINO, bf16",
    "torch": "PyTorch, eager",
}
SHOWN_SHARES = 6  # operators of a profile


def machine() -> dict[str, str]:
    """Return what figures depend on: the processor, threads and MXNet, which is imported."""
    import mxnet as mx

    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return {
        "processor": names[0] if names else platform.processor(),
        "threads": os.environ["OMP_NUM_THREADS"],
        "mxnet": mx.__version__,
    }


class Report:
    """The figures in a JSON file, and their tables in the page beside it (the same name, .md).

    Parameters
    ----------
    path : pathlib.Path
        The JSON file; made where it is missing.

    Raises
    ------
    InputError
        Something else is at `path`.
    """

    def __init__(self, path: Path):
        self._path = path
        self._sections = {}
        if path.exists():
            try:
                self._sections = dict(json.loads(path.read_text()))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{path}: expected the figures of an earlier run, got something else; "
                    "name another file with --json"
                ) from error

    def section(self, name: str) -> dict:
        """Return a section's figures by name; without any if they are of another machine."""
        return self._sections.get(name, {}).get("figures", {})

    def add(self, section: str, name: str, figures: dict) -> None:
        """Keep the figures of a case, and write both files anew."""
        here = machine()
        if self._sections.get(section, {}).get("machine") != here:
            self._sections[section] = {"machine": here, "figures": {}}
        self._sections[section]["figures"][name] = figures
        with whole_file(self._path) as part:
            part.write_text(json.dumps(self._sections, indent=1) + "\n")
        page = self._path.with_suffix(".md")
        text = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
        with whole_file(page) as part:
            part.write_text(self._insert(text, page), encoding="utf-8")

    def _insert(self, text, page):
        """Return a page with the tables between its marks."""
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise InputError(f"{page}: expected the lines {BEGIN} and {END}, got none; add them")
        lines = [
            line
            for name, title in SECTIONS.items()
            if name in self._sections
            for line in _section_lines(name, title, self._sections[name])
        ]
        return "\n".join([before + begin, *lines, end + after])


def _section_lines(name, title, section):
    if name == "peers":
        return peer_tables(title, **section)
    return tables(title, **section, sides=sides_of(name))


SIDES = ("builtin", "auto")  # the slower one first


def sides_of(section: str) -> tuple[str, str]:
    """Return what a section compares, the slower one first."""
    return ("auto", "bf16") if section == "bf16" else SIDES


def tables(
    title: str, machine: dict, figures: dict, sides: tuple[str, str] = SIDES
) -> Iterator[str]:
    """Yield the lines of a section's tables, as Markdown."""
    yield from ("", *([title, ""] if title else []))
    yield from (_machine_line(machine), "")
    compared = {name: case for name, case in figures.items() if sides[0] in case["seconds"]}
    if compared:
        yield _header(NAMES[sides[0]], NAMES[sides[1]].removeprefix("fast, "))
        yield _row("---", *("---:" for _ in range(6)))
        for name, case in compared.items():
            yield _row(name, *_cells(case, sides))
        yield ""
    for name, case in figures.items():
        if name not in compared:
            yield from (folder_line(name, case), "")
    for name, case in figures.items():
        for kernels, shares in case.get("shares", {}).items():
            yield from (f"{name}, {kernels}: {shares_line(shares)}", "")


def _machine_line(machine, figures=()):
    """Return the line that tells a machine, and the versions that stand in the figures."""
    processor, threads, mxnet = machine["processor"], machine["threads"], machine["mxnet"]
    line = f"{processor}, {threads} thread{'s' * (threads != '1')}, MXNet {mxnet}"
    versions = {}
    for name in figures:
        versions.update(figures[name].get("versions", {}))
    return ", ".join([line, *(f"{name} {version}" for name, version in versions.items())]) + "."


def peer_tables(title: str, machine: dict, figures: dict) -> Iterator[str]:
    """Yield the lines of the peers' tables, as Markdown: predictions, then training steps."""
    yield from ("", title, "", _machine_line(machine, figures), "")
    for kind, words in DIFFERENCES.items():
        compared = {name: case for name, case in figures.items() if kind in case}
        if compared:
            yield from _peer_table(compared)
            for name, case in compared.items():
                differences = (
                    f"{NAMES[side]} {value:.2g}"
                    for side, value in case[kind].items()
                    if side != "auto"
                )
                yield f"{name}, {words}: {'; '.join(differences)}."
            yield ""


DIFFERENCES = {
    "difference_px": "largest difference of flow in px",
    "difference_loss": "relative difference of the first step's loss",
}


def _peer_table(compared):
    measured = [case["seconds"] for case in compared.values()]
    others = [side for side in NAMES if side != "auto" and any(side in one for one in measured)]
    yield _row("", "fast", *(NAMES[side] for side in others))
    yield _row("---", *("---:" for _ in ["auto", *others]))
    for name, case in compared.items():
        seconds = case["seconds"]
        ratios = (ratio_text(seconds, side, "auto") if side in seconds else "" for side in others)
        yield _row(name, f"{1000 * statistics.median(seconds['auto']):.0f} ms", *ratios)
    yield ""


def _header(slow, fast):
    return _row(
        *("", slow, fast, f"{slow} / {fast}", f"{slow}, MB", f"{fast}, MB", f"{fast} / {slow}")
    )


def _cells(case, sides):
    yield from (f"{1000 * statistics.median(case['seconds'][side]):.0f} ms" for side in sides)
    yield ratio_text(case["seconds"], *sides)
    peaks = case.get("peak_mb")
    if not peaks:
        yield from ("", "", "")
        return
    yield from (f"{peaks[side]:.0f}" for side in sides)
    yield f"{peaks[sides[1]] / peaks[sides[0]]:.2f}"


def ratio_text(seconds: dict[str, list[float]], side: str, other: str) -> str:
    """Return the median of the rounds' ratios, and their quartiles: "2.9 (2.8 to 3.0)"."""
    ratios = [one / two for one, two in zip(seconds[side], seconds[other], strict=True)]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else 3 * ratios
    )
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def folder_line(name: str, case: dict) -> str:
    """Return what a folder costs, in words."""
    rates = {side: case["pairs"] / statistics.median(case["seconds"][side]) for side in FOLDER}
    memory, folder = (f"{rates[side]:.2f}" for side in FOLDER)
    return (
        f"{name}: {memory} pairs per second in memory, {folder} from a folder of PNGs to `.flo` "
        f"files and colours, which is {ratio_text(case['seconds'], *FOLDER)} of it."
    )


FOLDER = ("memory", "folder")


def shares_line(shares: dict[str, float]) -> str:
    """Return a profile's largest shares in one line."""
    largest = list(shares.items())[:SHOWN_SHARES]
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in largest)


def _row(*cells):
    return f"| {' | '.join(cells)} |"
