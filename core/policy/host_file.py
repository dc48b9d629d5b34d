"""From host.toml to the host policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from toolhost.policy.document import DocumentError, parse_document
from toolhost.policy.keys import HOST, NAMED_WORKSPACE
from toolhost.policy.limit_table import LIMITS, read_limits
from toolhost.policy.network_table import read_network_denies
from toolhost.policy.path_table import root_problem
from toolhost.policy.places import Places
from toolhost.policy.problems import Problem
from toolhost.policy.rule_table import read_denies
from toolhost.policy.table import Table
from toolhost.policy.values import HostPolicy, NamedWorkspace
from toolhost.policy.who_table import read_roles

__all__ = ["LoadedHost", "load_host"]

_KEYS = tuple(HOST)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedHost:
    """What became of host.toml: a host policy, or problems."""

    host: HostPolicy | None = None
    problems: tuple[Problem, ...] = field(default=())


def load_host(data: bytes, file: str, places: Places) -> LoadedHost:
    """Check and compile the bytes of host.toml.

    Args:
        data: The file's bytes.
        file: Its name in messages.
        places: The folders no root may touch.
    """
    try:
        document = parse_document(data, file)
    except DocumentError as error:
        return LoadedHost(problems=(error.problem,))
    problems: list[Problem] = []
    top = Table(document, problems, _KEYS)
    top.text("about")
    allowed = _allowed(top.table("paths", HOST["paths"].keys))
    host = HostPolicy(
        file=file,
        denies=tuple(read_denies(top.table("commands", HOST["commands"].keys))),
        maxima=read_limits(top.table("limits", LIMITS)),
        allowed=allowed,
        network_denies=read_network_denies(top.table("network", HOST["network"].keys)),
        workspaces={found.name: found for found in _workspaces(top.table("workspaces", None), places, allowed)},
        content=data,
    )
    if problems:
        return LoadedHost(problems=tuple(sorted(problems, key=lambda problem: (problem.line, problem.column))))
    return LoadedHost(host=host)


def _allowed(table: Table) -> tuple[str, ...] | None:
    """Places under which roots may lie. An empty list is no place at all."""
    if "allow" not in table:
        return None
    found = []
    for item in table.strings("allow"):
        parts = item.text.split("/")
        if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]) or "*" in item.text:
            table.problem(item.place, "bad_value", f"`{item.text}` must be a plain absolute path.")
        else:
            found.append(item.text)
    return tuple(found)


def _workspaces(table: Table, places: Places, allowed: tuple[str, ...] | None) -> Iterator[NamedWorkspace]:
    for name in table.names():
        if not _NAME.fullmatch(name):
            table.problem(
                table.key_place(name), "bad_value", f"`{name}`: a workspace's name is of a-z, 0-9, `-` and `_`."
            )
        entry = table.table(name, NAMED_WORKSPACE)
        path = entry.text("path", required='"/srv/..."')
        write = entry.flag("write")
        who = read_roles(entry, "who")
        if path is None:
            continue
        found = root_problem(path.text, places, allowed, writable=write)
        if found:
            entry.problem(path.place, *found)
        yield NamedWorkspace(
            name=name,
            path=path.text,
            write=write,
            who=who,
            place=table.key_place(name),
        )
