"""A runbook: a TOML file with named steps.

about = "Check the build."

[inputs]
folder = "build"              # what {folder} stands for unless the caller says otherwise

[[steps]]
name = "List it"
run = ["ls", "-l", "--", "{folder}"]

[[steps]]
name = "It has a report"
check = "{folder}/report.txt"
contains = "passed"

[[steps]]
name = "Somebody looked"
confirm = "Is {folder} the one you mean?"
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolhost import ToolError

__all__ = ["Book", "Step", "filled", "read_book", "start_of"]

_MOST_BYTES = 256 << 10
_MOST_STEPS = 100
_KEYS = {"about", "inputs", "steps"}
_STEP_KEYS = {"name", "run", "check", "confirm", "contains", "cwd", "stdin", "timeout", "may_fail"}
_INPUT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: a command, a look at a file, or a question to the person.

    Attributes:
        name: What people call it.
        run: A command's words; empty where the step is a look at a file.
        check: The file; empty where it is none.
        confirm: What the person is asked, who says yes or no; empty where it is none.
        contains: A text the file must hold.
        cwd: Where the command starts, or empty for the workspace.
        stdin: What the command reads.
        timeout: Seconds, or None.
        may_fail: Whether the runbook goes on when it fails.
    """

    name: str
    run: tuple[str, ...] = ()
    check: str = ""
    confirm: str = ""
    contains: str = ""
    cwd: str = ""
    stdin: str = ""
    timeout: float | None = None
    may_fail: bool = False

    def shown(self) -> str:
        """The step as one line."""
        if self.confirm:
            return f"asks: {self.confirm}"
        if self.check:
            return f"{self.check} exists" + (f" and holds {self.contains!r}" if self.contains else "")
        return " ".join(word if word and not re.search(r"\s", word) else repr(word) for word in self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A runbook."""

    about: str
    inputs: Mapping[str, str]
    steps: tuple[Step, ...]


def read_book(path: str) -> Book:
    """Read and check a runbook.

    Raises:
        ToolError: `not_found`, `bad_runbook`.
    """
    try:
        raw = start_of(path, _MOST_BYTES + 1)
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}.", "not_found") from error
    if len(raw) > _MOST_BYTES:
        raise _wrong(path, f"it is larger than {_MOST_BYTES} bytes")
    try:
        data = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)) from error
    _known(path, data, _KEYS, "the file")
    inputs = data.get("inputs", {})
    if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
        raise _wrong(path, '[inputs] holds texts: name = "default"')
    steps = data.get("steps")
    if not isinstance(steps, list) or not 1 <= len(steps) <= _MOST_STEPS:
        raise _wrong(path, f"it has between 1 and {_MOST_STEPS} [[steps]]")
    read = tuple(_step(path, number, step) for number, step in enumerate(steps, 1))
    names = [step.name for step in read]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _wrong(path, f"two steps are named {twice!r}")
    used = {name for step in read for text in _texts(step) for name in _INPUT.findall(text)}
    if unknown := sorted(used - set(inputs)):
        raise _wrong(path, f"{{{unknown[0]}}} is used, and [inputs] does not name it")
    return Book(about=str(data.get("about", "")), inputs=inputs, steps=read)


def start_of(path: str, most: int) -> bytes:
    """The beginning of a regular file; a FIFO would keep whoever opens it waiting.

    Raises:
        OSError: There is none.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return file.read(most)


def filled(step: Step, values: Mapping[str, str]) -> Step:
    """A step with its inputs filled in. A value stays within the word it stands in, whatever it holds."""

    def fill(text: str) -> str:
        return _INPUT.sub(lambda match: values[match[1]], text)

    return Step(
        name=step.name,
        run=tuple(fill(word) for word in step.run),
        check=fill(step.check),
        confirm=fill(step.confirm),
        contains=fill(step.contains),
        cwd=fill(step.cwd),
        stdin=fill(step.stdin),
        timeout=step.timeout,
        may_fail=step.may_fail,
    )


def _texts(step: Step) -> tuple[str, ...]:
    return (*step.run, step.check, step.confirm, step.contains, step.cwd, step.stdin)


def _step(path: str, number: int, data: Any) -> Step:
    where = f"step {number}"
    if not isinstance(data, dict):
        raise _wrong(path, f"{where} is no table: write [[steps]]")
    _known(path, data, _STEP_KEYS, where)
    name = data.get("name")
    if not isinstance(name, str) or not name.strip():
        raise _wrong(path, f"{where} has no name")
    run = data.get("run", [])
    if not isinstance(run, list) or not all(isinstance(word, str) for word in run):
        raise _wrong(path, f'{where} ({name}): run is a list of words, run = ["git", "status"]; there is no shell')
    if bool(run) + ("check" in data) + bool(data.get("confirm")) != 1:
        raise _wrong(path, f"{where} ({name}) has one of `run`, `check` and `confirm`")
    for key, kind in (
        ("check", str),
        ("confirm", str),
        ("contains", str),
        ("cwd", str),
        ("stdin", str),
        ("may_fail", bool),
    ):
        if key in data and not isinstance(data[key], kind):
            raise _wrong(path, f"{where} ({name}): {key} is a {'text' if kind is str else 'boolean'}")
    timeout = data.get("timeout")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
        raise _wrong(path, f"{where} ({name}): timeout is a number of seconds")
    return Step(
        name=name,
        run=tuple(run),
        check=data.get("check", ""),
        confirm=data.get("confirm", ""),
        contains=data.get("contains", ""),
        cwd=data.get("cwd", ""),
        stdin=data.get("stdin", ""),
        timeout=timeout,
        may_fail=data.get("may_fail", False),
    )


def _known(path: str, table: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise _wrong(path, f"unknown key {key!r} in {where}; there are {', '.join(sorted(keys))}")


def _wrong(path: str, what: str) -> ToolError:
    return ToolError(f"{path} is no runbook: {what}.", "bad_runbook")
