"""Reading `[limits]`: values with units in a policy, maxima in host.toml, limits of a single rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolhost.policy.keys import LIMIT_KINDS
from toolhost.policy.problems import Place, near
from toolhost.policy.table import Table
from toolhost.policy.units import duration, nearest, show_duration, show_size, size

__all__ = ["LIMITS", "read_limits", "read_require", "show_limit"]

LIMITS: Mapping[str, str] = {name: kind for name, (kind, _) in LIMIT_KINDS.items()}
"""Every limit and the unit it is written in."""

_WHOLE_TREE = ("wall", "cpu", "memory", "processes", "output", "scratch", "calls")
_NAMES = f" Limits: {', '.join(LIMITS)}."
_WATCHED = "`{}` holds for each process, or by watching: no host enforces it for the whole process tree."


def read_limits(table: Table, maxima: Mapping[str, tuple[Any, Place]] | None = None) -> dict[str, tuple[Any, Place]]:
    """The limits a table sets, each with its place.

    Args:
        table: The table.
        maxima: The largest values allowed; None while the maxima themselves are read.
    """
    found: dict[str, tuple[Any, Place]] = {}
    for name in table.names():
        if name not in LIMITS:
            continue
        value = _read(table, name)
        if value is None:
            continue
        most, place = (maxima or {}).get(name, (None, None))
        if most is not None and value > most:
            table.problem(
                table.place(name),
                "above_host_maximum",
                f"{table.label(name)} is {show_limit(name, value)}, "
                f"and {place} allows at most {show_limit(name, most)}, which no policy can raise.",
            )
        found[name] = (value, table.place(name))
    return found


def read_require(top: Table) -> tuple[str, ...]:
    """`require`: names of limits that must hold for the whole process tree."""
    found = []
    for item in top.strings("require"):
        if item.text not in LIMITS:
            top.problem(item.place, "bad_value", f"`{item.text}` is no limit.{near(item.text, LIMITS) or _NAMES}")
        elif item.text not in _WHOLE_TREE:
            top.problem(item.place, "bad_value", _WATCHED.format(item.text))
        else:
            found.append(item.text)
    return tuple(sorted(set(found)))


def show_limit(name: str, value: float) -> str:
    """A limit as people write it."""
    shown: dict[str, Callable[[Any], str]] = {"duration": show_duration, "size": show_size, "count": str}
    return shown[LIMITS[name]](value)


def _read(table: Table, name: str) -> float | None:
    if LIMITS[name] == "count":
        return table.count(name)
    raw = table.raw(name)
    if isinstance(raw, int) and not isinstance(raw, bool):
        units, unit = ("s, m, h", "s") if LIMITS[name] == "duration" else ("K, M, G", "M")
        table.problem(
            table.place(name),
            "wrong_type",
            f'{table.label(name)} needs its unit ({units}), in a string: write "{abs(raw)}{unit}", for instance.',
        )
        return None
    text = table.text(name)
    if text is None:
        return None
    try:
        return duration(text.text) if LIMITS[name] == "duration" else size(text.text)
    except ValueError as error:
        hint = nearest(text.text, LIMITS[name])
        table.problem(text.place, "bad_value", f"{table.label(name)} must be {error}.{hint}")
        return None
