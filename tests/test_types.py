"""Public functions say the types of what they take and give; mypy compares them in `make lint`."""

import ast

import pytest
from test_imports import files_of

from maskflownet.config.files import ROOT

ROOMS = (
    *("augmentation/", "config/", "kernels/", "network/", "output/", "reader/", "tasks/"),
    *("main.py", "metrics.py", "mxnet_import.py", "predict_new_data.py", "runtime.py"),
    "whole_file.py",
)


def public_functions(tree):
    """Yield the public functions of a module and of its public classes, `__init__` included."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        is_public = isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        )
        if is_public:
            yield node


def untyped(text):
    """Return what has no type in a module's text: "function(argument)" and "function ->"."""
    found = []
    for function in public_functions(ast.parse(text)):
        given = function.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        found += [
            f"{function.name}({argument.arg})"
            for argument in arguments
            if argument and argument.annotation is None and argument.arg not in ("self", "cls")
        ]
        if function.returns is None and function.name != "__init__":
            found.append(f"{function.name} ->")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_have_types(room):
    files = [file for file in files_of(ROOT) if file == room or file.startswith(room)]
    assert files
    wanting = {file: untyped((ROOT / file).read_text(encoding="utf-8")) for file in files}
    assert {file: names for file, names in wanting.items() if names} == {}


def test_what_has_no_type_is_told():
    text = "class A:\n    def f(self, x: int, *rest, y): ...\n    def _g(self, x): ...\n"
    assert untyped(text) == ["f(y)", "f(rest)", "f ->"]
    assert untyped("def f(x: int) -> None: ...") == []
