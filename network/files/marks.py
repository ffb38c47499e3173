"""What a network's arrays alone do not tell, kept in our own files as marks among their names.

Without them weights of one dialect, or of one unit of flow, would pass for those of another. A
parameter file has an array without meaning for each mark. Beside an exported graph MXNet refuses
arrays that are not used, so there marks stand before all names: "MARK/conv1a.0.weight". What is as
in the original has no mark: other programs read such files.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

MMFLOW_MARK = "network.dialect.mmflow"
_MULTIPLIER = "network.flow_multiplier."
_MARK = re.compile(rf"{re.escape(MMFLOW_MARK)}|{re.escape(_MULTIPLIER)}(?P<multiplier>[\d.e+-]+)")


class Marks(NamedTuple):
    """What the marks of a file tell; see `config.NetworkConfig`.

    Attributes
    ----------
    dialect : {"original", "mmflow"}
    flow_multiplier : float
    """

    dialect: str = "original"
    flow_multiplier: float = 1.0


def marks_of(network: Any) -> list[str]:
    """Return the marks of a network, none where all is as in the original."""
    marks = [] if network.dialect.name == "original" else [MMFLOW_MARK]
    if network.flow_multiplier != 1:
        marks.append(f"{_MULTIPLIER}{float(network.flow_multiplier)!r}")
    return marks


def split_marks(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], Marks]:
    """Return arrays by names without marks, and what the marks tell."""
    bare, found = {}, []
    for name, array in arrays.items():
        *before, last = name.split("/")
        matches = [_MARK.fullmatch(part) for part in (*before, last)]
        found += [match for match in matches if match]
        if not matches[-1]:
            kept = [part for part, match in zip(before, matches, strict=False) if not match]
            bare["/".join([*kept, last])] = array
    told: dict[str, Any] = {}
    for match in found:
        if match["multiplier"]:
            told["flow_multiplier"] = float(match["multiplier"])
        else:
            told["dialect"] = "mmflow"
    return bare, Marks(**told)
