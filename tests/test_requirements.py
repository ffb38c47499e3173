"""Every package, and whatever it brings along, has one version in each set."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SETS = sorted(ROOT.glob("constraints*.txt"))
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def stated(path):
    """Return the requirements that a file states itself."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [Requirement(line) for line in lines if line]


def serving(requirements, version):
    """Return those that count for a version of Python."""
    return [
        r for r in requirements if not r.marker or r.marker.evaluate({"python_version": version})
    ]


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", PYTHONS)
def test_a_set_names_one_version_of_each_package(path, version):
    pins = serving(stated(path), version)
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "version", "numpy"),
    [
        ("constraints.txt", "3.10", "2.2.6"),
        ("constraints.txt", "3.11", "2.4.6"),
        ("constraints.txt", "3.13", "2.5.5"),
        ("constraints-between.txt", "3.12", "2.0.2"),
        ("constraints-oldest.txt", "3.10", "1.23.5"),
        ("constraints-oldest.txt", "3.12", "1.26.4"),
    ],
)
def test_numpy_of_a_set(name, version, numpy):
    pins = serving(stated(ROOT / name), version)
    assert [str(pin.specifier) for pin in pins if pin.name == "numpy"] == [f"=={numpy}"]


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", PYTHONS)
def test_a_set_is_within_the_bounds_of_the_requirements(path, version):
    pins = {canonicalize_name(pin.name): pin for pin in serving(stated(path), version)}
    for requirement in serving(stated(ROOT / "requirements.txt"), version):
        if pin := pins.get(canonicalize_name(requirement.name)):
            assert requirement.specifier.contains(str(pin.specifier)[2:]), requirement
        else:
            assert str(requirement.specifier).startswith("=="), requirement


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_what_the_requirements_bring_along_is_pinned_too(path):
    wanted = stated(ROOT / "requirements.txt") + stated(ROOT / "requirements-dev.txt")
    exact = {r.name for r in wanted if str(r.specifier).startswith("==")}
    found = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        if name not in found and (marker is None or marker.evaluate({"extra": ""})):
            found.add(name)
            wanted += map(Requirement, metadata.requires(name) or [])
    pinned = {canonicalize_name(pin.name) for pin in stated(path)} | exact
    assert found - pinned == {"certifi"}


@pytest.mark.parametrize("build", ["cpu", "gpu"])
def test_builds_of_mxnet_are_exact(build):
    """They are installed without what they depend on, so nothing else may come along."""
    for requirement in stated(ROOT / f"requirements-{build}.txt"):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
