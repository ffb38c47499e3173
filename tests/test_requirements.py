"""Every package is pinned, and so is whatever it brings along."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*ROOT.glob("requirements*.txt"), ROOT / "constraints.txt"])


def pins(path):
    """Return the requirements that a file states itself."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith(("-r", "-c"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_requirement_is_exact(path):
    assert pins(path)
    for pin in pins(path):
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin


@pytest.mark.parametrize(
    ("version", "numpy", "setuptools"),
    [("3.10", "1.23.5", False), ("3.11", "1.23.5", False), ("3.12", "1.26.4", True)],
)
def test_pins_by_python_version(version, numpy, setuptools):
    common = pins(ROOT / "requirements-common.txt")
    chosen = [p for p in common if not p.marker or p.marker.evaluate({"python_version": version})]
    assert [str(p.specifier) for p in chosen if p.name == "numpy"] == [f"=={numpy}"]
    assert ("setuptools" in [p.name for p in chosen]) == setuptools


def test_what_the_requirements_bring_along_is_pinned_too():
    files = ["requirements.txt", "requirements-common.txt", "requirements-dev.txt"]
    wanted = [pin for name in files for pin in pins(ROOT / name)]
    pinned = {canonicalize_name(p.name) for p in wanted + pins(ROOT / "constraints.txt")}
    found = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        if name not in found and (marker is None or marker.evaluate({"extra": ""})):
            found.add(name)
            wanted += map(Requirement, metadata.requires(name) or [])
    assert found - pinned == {"certifi"}
