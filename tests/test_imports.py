"""What may import what: the floors in docs/design.md; no circles, also not inside functions."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from maskflownet.config.files import ROOT

NAME = "maskflownet"
# Folders of the repository that hold no code of the house.
ELSEWHERE = {"tests", "findings", "docs", "examples"}
ROW = re.compile(r"\| (?P<floor>\d+) \| `(?P<room>[^`]+)` \| (?P<mxnet>yes|no) \| \S.* \|")


class Room(NamedTuple):
    """A row of the table: a folder that ends in "/", or one file."""

    path: str
    floor: int
    mxnet: bool


def rooms_of(text):
    """Return the rooms that the table of docs/design.md names."""
    rows = [ROW.fullmatch(line) for line in text.splitlines() if re.match(r"\| \d", line)]
    assert rows and all(rows), "expected rows such as | 3 | `reader/` | no | ... |"
    return [Room(row["room"], int(row["floor"]), row["mxnet"] == "yes") for row in rows]


def room_of(file, rooms):
    """Return the room of a file, a path from the root; the innermost that the table names."""
    own = [room for room in rooms if file == room.path or file.startswith(_folder(room))]
    assert own, f"{file}: docs/design.md gives it no floor"
    return max(own, key=lambda room: len(room.path))


def _folder(room):
    return room.path if room.path.endswith("/") else "\0"


def files_of(root):
    """Return the Python files of the house that hold code, as paths from its root."""
    tops = [path for path in root.iterdir() if path.name[0] != "." and path.name not in ELSEWHERE]
    found = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*.py"))]
    return sorted(
        path.relative_to(root).as_posix()
        for path in found
        if path.suffix == ".py" and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1
    )


def imported(text):
    """Yield (module, name or None) for each import in a file's text, wherever it stands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "expected the full name of what is imported"
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def target_of(module, name, files):
    """Return which file of the house an import reads, or None where it is another package's."""
    package, *parts = module.split(".")
    if package != NAME:
        return None
    for path in ([*parts, name] if name else parts, parts):
        stem = "/".join(path)
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if candidate in files:
                return candidate
    return f"{NAME}/__init__.py"


def imports_of(root, files):
    """Return {file: the files that it imports}, and the files that import MXNet themselves."""
    inner, with_mxnet = {}, set()
    for file in files:
        found = list(imported((root / file).read_text(encoding="utf-8")))
        targets = {target_of(module, name, files) for module, name in found}
        inner[file] = targets - {None, file}
        if any(module.split(".")[0] in ("mxnet", "gluoncv") for module, _ in found):
            with_mxnet.add(file)
    return inner, with_mxnet


def wrong_imports(inner, with_mxnet, rooms):
    """Return a line for each import that the floors do not allow."""
    wrong = []
    for file, targets in inner.items():
        room = room_of(file, rooms)
        if file in with_mxnet and not room.mxnet:
            wrong.append(f"{file} imports MXNet")
        for target in sorted(targets):
            below = room_of(target, rooms)
            if below != room and below.floor >= room.floor:
                wrong.append(f"{file} (floor {room.floor}) imports {target} (floor {below.floor})")
    return wrong


@pytest.fixture(scope="module")
def house():
    """The imports of the house, and the rooms of docs/design.md."""
    rooms = rooms_of((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))
    return *imports_of(ROOT, files_of(ROOT)), rooms


def test_imports_go_down_the_floors(house):
    assert wrong_imports(*house) == []


def test_nothing_imports_in_a_circle(house):
    inner, _, _ = house
    try:
        TopologicalSorter(inner).prepare()
    except CycleError as error:
        pytest.fail("a circle: " + " <- ".join(error.args[1]))


def test_every_room_of_the_table_is_there(house):
    *_, rooms = house
    assert [room.path for room in rooms if not (ROOT / room.path).exists()] == []
    assert len({room.path for room in rooms}) == len(rooms)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("reader/images.py", "from maskflownet.network import Pipeline", "network/__init__.py"),
        ("network/loss.py", "def f():\n    import maskflownet.output.video", "output/video.py"),
        ("tasks/runs/log.py", "from maskflownet import main", "imports main.py (floor 12)"),
        ("metrics.py", "import mxnet.ndarray as nd", "metrics.py imports MXNet"),
    ],
)
def test_a_wrong_import_is_told(house, tmp_path, file, line, said):
    _, _, rooms = house
    files = files_of(ROOT)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(line, encoding="utf-8")
    found = {file: {target_of(*one, files) for one in imported(line)} - {None}}
    with_mxnet = {file} if "mxnet" in line else set()
    (wrong,) = wrong_imports(found, with_mxnet, rooms)
    assert said in wrong


def test_a_circle_inside_functions_is_told(tmp_path):
    (tmp_path / "a.py").write_text("from maskflownet import b", encoding="utf-8")
    (tmp_path / "b.py").write_text("def f():\n    from maskflownet.a import x", encoding="utf-8")
    inner, _ = imports_of(Path(tmp_path), ["a.py", "b.py"])
    assert inner == {"a.py": {"b.py"}, "b.py": {"a.py"}}
    with pytest.raises(CycleError):
        TopologicalSorter(inner).prepare()
