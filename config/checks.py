"""Checks of single values, and how a YAML mapping becomes a frozen dataclass.

A config is a frozen dataclass whose fields carry their check as metadata, made by `key`. A check
takes the value that YAML gave and where it stood; it returns the value in its final type or raises
an InputError that names the file, the key, what was expected and what was found.
"""

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from maskflownet.config.errors import InputError
from maskflownet.config.files import user_path


class Where(NamedTuple):
    """A place in a config file: the file and the dotted key in it."""

    file: Path
    key: str = ""

    def below(self, key: object) -> "Where":
        """Return the place of `key` inside this mapping."""
        return Where(self.file, f"{self.key}.{key}" if self.key else str(key))

    def wrong(self, expected: str, got: object) -> InputError:
        """Return the error for a value that does not fit."""
        name = f"{self.key}: " if self.key else ""
        return InputError(f"{self.file}: {name}expected {expected}, got {reprlib.repr(got)}")


Check = Callable[[object, Where], Any]

# What a number may be at most where nothing else is said, either way: beyond it is a mistake that
# would take all memory or all time.
LARGEST = 10**9
LARGEST_SEED = 2**63 - 1
MOST_PAIRS = 10**4  # of a batch
LARGEST_SIDE = 2**15 - 1  # of a picture: OpenCV and MXNet count in 16 bits


def key(check: Check, name: str | None = None) -> dict:
    """Return the metadata of a dataclass field that a config file may set.

    Parameters
    ----------
    check : callable
        From (value, Where) to the value in its final type.
    name : str, optional
        The key in the file, where it is not the field's own name.
    """
    return {"check": check, "key": name}


def from_mapping(cls: type, mapping: object, where: Where, **given: Any) -> Any:
    """Build the config dataclass `cls` from the mapping that a file holds at `where`.

    A key without a value (null) counts as left out.

    Parameters
    ----------
    cls : type
        A dataclass; its fields with metadata made by `key` are what the file may set.
    mapping : object
        What YAML gave; anything but a mapping with the keys of `cls` is an error.
    where : Where
        Where the mapping stands.
    **given
        Fields of `cls` that do not come from the file.

    Raises
    ------
    InputError
        For an unknown key (with the valid ones), a missing one, or a value that does not fit.
    """
    if not isinstance(mapping, Mapping):
        raise where.wrong("a mapping of keys to values", mapping)
    fields = _fields(cls)
    for name in mapping:
        if name not in fields:
            raise unknown_name("key", name, fields, where, _inner_names(fields))
    for name, field in fields.items():
        if mapping.get(name) is not None:
            given[field.name] = field.metadata["check"](mapping[name], where.below(name))
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where.file}: the key {where.below(name).key} is missing")
    return cls(**given)


def _fields(cls):
    """Return {key: field} of what a config dataclass reads from a file."""
    return {
        field.metadata["key"] or field.name: field
        for field in dataclasses.fields(cls)
        if "check" in field.metadata
    }


def _inner_names(fields):
    """Return {name: section.name} of the keys in the sections among some fields."""
    names = {}
    for outer, field in fields.items():
        for inner in getattr(field.metadata["check"], "keys", ()):
            names[inner] = f"{outer}.{inner}"
    return names


def unknown_name(
    kind: str,
    name: object,
    valid: Iterable[str],
    where: Where,
    elsewhere: Mapping[str, str] | None = None,
) -> InputError:
    """Return the error for a name that is none of `valid`; it names the closest of them.

    One that has its place `elsewhere` is shown that.
    """
    close = [elsewhere[str(name)]] if elsewhere and str(name) in elsewhere else None
    close = close or difflib.get_close_matches(str(name), list(valid), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return InputError(
        f"{where.file}: {where.below(name).key} is an unknown {kind}; {hint}"
        f"valid here: {', '.join(valid)}"
    )


def section(cls: type) -> Check:
    """Accept a mapping with the keys of the config dataclass `cls`."""

    def check(value, where):
        return from_mapping(cls, value, where)

    check.keys = tuple(_fields(cls))  # type: ignore[attr-defined]
    return check


def number(low: float = -LARGEST, above: float | None = None, high: float = LARGEST) -> Check:
    """Accept a number from `low`, or beyond `above`, to `high`; return a float.

    Text counts where it is a number, since YAML 1.1 reads `1e-4` as text, or a quotient of two,
    since ranges such as 1/1.5 to 1/0.9 have no short decimal form.
    """
    span = f"from {low:g}" if above is None else f"greater than {above:g}, up"

    def check(value, where):
        result = _as_float(value)
        within = result is not None and low <= result <= high
        if not within or (above is not None and result <= above):
            raise where.wrong(f"a number {span} to {high:g}", value)
        return result

    return check


def _as_float(value):
    """Return `value` as a float, or None where it is no number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        if isinstance(value, str):
            numerator, *denominator = value.split("/", 1)
            return float(numerator) / float(denominator[0] if denominator else 1)
        return float(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        return None


def integer(low: int, multiple_of: int = 1, high: int = LARGEST) -> Check:
    """Accept a whole number from `low` to `high`; return an int, every digit as it was given."""
    kind = "a whole number" if multiple_of == 1 else f"a multiple of {multiple_of}"

    def check(value, where):
        result = _as_integer(value)
        if result is None or not low <= result <= high or result % multiple_of:
            raise where.wrong(f"{kind} from {low} to {high}", value)
        return result

    return check


def _as_integer(value):
    """Return `value` as an int, or None where it is no whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # a float would lose digits beyond 2^53
    try:
        return int(value) if isinstance(value, str) else _whole(_as_float(value))
    except ValueError:
        return _whole(_as_float(value))


def _whole(number):
    """Return a float as an int, or None where it is none or not whole."""
    whole = number is not None and math.isfinite(number) and number == int(number)
    return int(number) if whole else None


def boolean(value: object, where: Where) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise where.wrong("true or false", value)
    return value


def anything(value: object, where: Where) -> object:
    """Accept whatever is there: for keys that exist and are never read."""
    del where
    return value


def one_of(*choices: Any) -> Check:
    """Accept one of the values listed."""

    def check(value, where):
        if value not in choices:
            raise where.wrong(f"one of {', '.join(map(str, choices))}", value)
        return value

    return check


def sequence(item: Check, count: int | None = None) -> Check:
    """Accept a list of `count` values (or one or more) that each pass `item`; return a tuple."""
    expected = f"a list of {count} values" if count else "a list of one or more values"

    def check(value, where):
        if not isinstance(value, list | tuple) or len(value) != (count or max(len(value), 1)):
            raise where.wrong(expected, value)
        return tuple(item(part, where) for part in value)

    return check


def value_range(low: float = -LARGEST, above: float | None = None, high: float = LARGEST) -> Check:
    """Accept [lowest, highest], two numbers in this order; return a tuple."""
    return ordered(number(low, above, high))


def ordered(item: Check) -> Check:
    """Accept [lowest, highest], two values that pass `item`, in this order; return a tuple."""
    pair = sequence(item, 2)

    def check(value, where):
        lowest, highest = pair(value, where)
        if lowest > highest:
            raise where.wrong("[lowest, highest]", value)
        return lowest, highest

    return check


def size_hw(multiple_of: int = 1) -> Check:
    """Accept [height, width] in pixels; return a tuple of ints."""
    return sequence(integer(multiple_of, multiple_of, LARGEST_SIDE // multiple_of * multiple_of), 2)


def schedule(value: object, where: Where) -> tuple[tuple[int, float], ...]:
    """Accept a learning rate schedule: a list of [last step, rate] with growing steps."""
    if not isinstance(value, list) or not all(
        isinstance(entry, list) and len(entry) == 2 for entry in value
    ):
        raise where.wrong("a list of [last step, learning rate]", value)
    step, rate = integer(1), number(above=0, high=1000)
    entries = tuple((step(last, where), rate(lr, where)) for last, lr in value)
    steps = [last for last, _ in entries]
    if not steps or steps != sorted(set(steps)):
        raise where.wrong("a list of [last step, learning rate] with growing steps", value)
    return entries


def path_beside(value: object, where: Where) -> Path:
    """Accept a path; a relative one is taken from the folder of the config file."""
    if not isinstance(value, str) or not value:
        raise where.wrong("a path", value)
    return where.file.resolve().parent / user_path(value, f"{where.file}: {where.key}")


def plain_mapping(value: object, where: Where) -> dict:
    """Accept a mapping whose keys are checked by whoever reads it."""
    if not isinstance(value, Mapping):
        raise where.wrong("a mapping of keys to values", value)
    return dict(value)
