"""The map for developers: what docs/design.md, CONTRIBUTING.md and docs/kernels.md name exists."""

import re

import pytest

from maskflownet.config.files import ROOT

PAGES = ("docs/design.md", "CONTRIBUTING.md", "docs/kernels.md")
# `path/file.py`, or `path/file.py: name` for something that the file defines.
NAMED = re.compile(r"`(?P<path>[\w./-]+(?:\.(?:py|h|cc|md|yaml)|/))(?:: (?P<name>\w+))?`")
LOOK_UPS = 10


def named(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(match["path"], match["name"]) for match in NAMED.finditer(text)]


def defines(text, name):
    """Return whether a file's text defines a function, class or value of that name."""
    return re.search(rf"^\s*(?:(?:async )?def|class|struct) {name}\b|^{name}\b.* = ", text, re.M)


def missing(path, name):
    """Return what is wrong with a name in a page, or None."""
    if not (ROOT / path).exists():
        return f"{path} is not there"
    if name and not defines((ROOT / path).read_text(encoding="utf-8"), name):
        return f"{path} does not define {name}"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    found = [(path, name) for path, name in named(page) if "NAME" not in path]
    assert len(found) > 5
    assert [wrong for one in found if (wrong := missing(*one))] == []


def test_what_is_not_there_is_told():
    assert missing("metrics.py", "is_outlier") is None
    assert missing("metrics.py", "is_no_outlier") == "metrics.py does not define is_no_outlier"
    assert missing("reader/none.py", None) == "reader/none.py is not there"


def test_each_look_up_takes_at_most_two_hops():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = text.partition("## Where is ...?")[2].partition("\n## ")[0]
    rows = [line.split("|")[2:4] for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= LOOK_UPS
    assert all(NAMED.search(first) for first, _ in rows)
    assert all(len(NAMED.findall(cell)) <= 1 for row in rows for cell in row)
