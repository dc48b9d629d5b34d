"""Reading which programs a policy names: declared, pinned, and none that the host denies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from posixpath import basename

from toolhost.policy.courtesy import breathe
from toolhost.policy.problems import Place, near
from toolhost.policy.programs import RUNS_CODE, denying_whole, names_of, runs_code
from toolhost.policy.table import Located, Table
from toolhost.policy.values import HostPolicy
from toolhost.sandbox import PlanRefused, pin
from toolhost.sandbox.plan import Program
from toolhost.sandbox.programs import SEARCH

__all__ = ["read_inside", "read_programs", "read_runs_code", "read_support"]

_DATA = ("/usr/", "/opt/", "/var/lib/", "/srv/")


def read_runs_code(table: Table) -> frozenset[str]:
    """`runs_code`: the kinds of programs of the closed table that may be named."""
    known = [name for names in RUNS_CODE.values() for name in names.split()]
    declared = set()
    for item in table.strings("runs_code"):
        name = runs_code(item.text)
        if name is None:
            table.problem(
                item.place,
                "bad_value",
                f"`{item.text}` is not in the table of programs that run code; only those are listed here."
                f"{near(item.text, known)}",
            )
        else:
            declared.add(name)
    return frozenset(declared)


def read_inside(table: Table) -> Iterator[Located]:
    """`inside`: names of programs that are there for others to start."""
    for item in table.strings("inside"):
        name = item.text
        relative = "/" in name and not name.startswith("/")
        first = basename(name.split(" ")[0])
        hint = f" Did you mean `{first}`?" if first.isalnum() else ""
        if not name or " " in name or not name.isprintable() or name.startswith("-") or relative:
            table.problem(
                item.place,
                "bad_program",
                f"`{name}`: `inside` holds names of programs, without arguments: what starts them chooses those.{hint}",
            )
        else:
            yield item


def read_programs(
    table: Table, named: Iterable[tuple[str, Place]], declared: frozenset[str], host: HostPolicy
) -> tuple[dict[str, Program], dict[str, str]]:
    """Pin every program a policy names.

    Args:
        table: Where problems are reported.
        named: The names and where each is written.
        declared: What `runs_code` lists.
        host: The host policy, whose denies no name may meet.

    Returns:
        The programs by name; and those this machine does not have, with the reason.
    """
    programs: dict[str, Program] = {}
    missing: dict[str, str] = {}
    for name, place in dict(reversed(list(named))).items():  # each once, where it is written first
        breathe()
        try:
            programs[name] = pin(name)
        except PlanRefused as refused:
            missing[name] = f"{refused.message} {refused.hint}".strip()
        pinned = programs.get(name)
        kind = runs_code(name) or (runs_code(pinned.target) if pinned else None)
        if kind is not None and kind not in declared:
            listed = basename(name) if runs_code(name) else kind
            table.problem(
                place,
                "runs_code",
                f'`{name}` runs any code it is given: list it, runs_code = ["{listed}"], if that is meant.',
            )
        identity = None if pinned is None else (pinned.device, pinned.inode)
        deny = denying_whole(host.deny_index.candidates(names_of(name, pinned), identity, ()), name, pinned)
        if deny is not None:
            table.problem(place, "host_deny", f"`{name}` is denied to every plugin by {deny.place} (`{deny.text}`).")
    return programs, missing


def read_support(table: Table) -> tuple[str, ...]:
    """`support`: host data that programs need, read-only."""
    found = []
    for item in table.strings("support"):
        path = item.text
        plain = path.startswith(_DATA) and os.path.normpath(path) == path and path.isprintable()
        if plain and any(f"{place}/".startswith(f"{path}/") or path.startswith(f"{place}/") for place in SEARCH):
            table.problem(
                item.place,
                "bad_value",
                f"`{path}` is a place of programs: a program is named in [commands] or in `inside`.",
            )
        elif plain:
            found.append(path)
        else:
            table.problem(
                item.place,
                "bad_value",
                f"`{path}`: `support` holds absolute paths of data that programs need, under /usr, /opt, /var/lib "
                "or /srv.",
            )
    return tuple(found)
