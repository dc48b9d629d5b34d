"""Programs: which of them run any code they are given, what a name stands for on this machine, and what denies it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from posixpath import basename

from toolhost.policy.deny import denies_program
from toolhost.policy.values import DenyRule
from toolhost.sandbox.plan import Program
from toolhost.sandbox.programs import SEARCH

__all__ = ["RUNS_CODE", "denying", "denying_whole", "file_id", "names_of", "runs_code"]

RUNS_CODE = {
    "shell": "sh bash rbash dash ash zsh ksh ksh93 mksh lksh pdksh oksh csh tcsh fish yash posh rc es elvish nu pwsh",
    "interpreter": "python pypy perl ruby jruby node nodejs deno bun lua luajit php tclsh wish expect",
    "multi-call binary": "busybox toybox coreutils ld.so ld-linux.so",
    "runs its arguments": "env xargs nice timeout nohup setsid stdbuf script parallel make gmake",
    "changes who runs them, or where": "sudo sudoedit doas chroot unshare",
}
"""The closed table, by what makes a program run any code it is given. A version number after a name changes nothing."""

_KIND = {name: kind for kind, names in RUNS_CODE.items() for name in names.split()}
_VERSION = re.compile(r"-?[0-9][0-9.]*$")
_LOADER = re.compile(r"ld-linux.*\.so\.[0-9]+")


def runs_code(name: str) -> str | None:
    """The table's name for a program that runs any code it is given: `python` for `/usr/bin/python3.11`; else None."""
    base = basename(name)
    if _LOADER.fullmatch(base):
        return "ld-linux.so"
    plain = _VERSION.sub("", base)
    return next((spelled for spelled in (base, plain) if spelled in _KIND), None)


def names_of(requested: str, program: Program | None) -> frozenset[str]:
    """Every name a deny may know a program by: as requested, its path, and its file's own."""
    names = {requested, basename(requested)}
    if program is not None:
        names |= {program.path, program.target, basename(program.path), basename(program.target)}
    return frozenset(names)


def denying(denies: Iterable[DenyRule], requested: str, program: Program | None) -> Iterator[DenyRule]:
    """The denies that mean a program, whatever they say of its arguments."""
    names = names_of(requested, program)
    identity = None if program is None else (program.device, program.inode)
    for rule in denies:
        if denies_program(rule.template, names) or (identity is not None and rule.file_id == identity):
            yield rule


def denying_whole(denies: Iterable[DenyRule], requested: str, program: Program | None) -> DenyRule | None:
    """The deny that means a program with any arguments, or None."""
    return next((rule for rule in denying(denies, requested, program) if rule.template.whole), None)


def file_id(name: str) -> tuple[int, int] | None:
    """Device and inode of the program a deny names, if this machine has it and the file goes by that name.

    A link to a file of another name is left out: what makes `reboot` a deny is the name it is called by, and the same
    file under its own name (`systemctl`) is another program.
    """
    base = basename(name)
    candidates = (name,) if name.startswith("/") else tuple(f"{folder}/{name}" for folder in SEARCH)
    for candidate in candidates:
        try:
            info = os.stat(candidate)  # noqa: PTH116 - hundreds at each load
        except OSError:
            continue
        return (info.st_dev, info.st_ino) if basename(os.path.realpath(candidate)) == base else None
    return None
