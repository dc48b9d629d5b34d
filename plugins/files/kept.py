"""What changes leave behind so that they can be undone: earlier contents, and what was deleted.

All of it lies in `.toolhost/changes/NUMBER/` of the workspace: `change.json` says what was done, beside it stand the
earlier contents of files and what was deleted. Git ignores the folder, and `list`, `glob` and `search` pass over it.
Whatever can write the workspace can write there too, so nothing in it is believed: paths are checked as if a caller had
named them, links are not followed, and an undo goes ahead only where things are still as the change left them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolhost import ToolError, kept_numbers, read_kept_change
from toolhost.plugins.files.opened import explained, in_bytes, replace_file, size_of

__all__ = ["FOLDER", "MOST_BYTES", "MOST_CHANGES", "Change", "change", "changes", "locked", "undo"]

FOLDER = ".toolhost"
"""Name of the folder in the workspace."""

MOST_CHANGES = 100
MOST_BYTES = 256 << 20
"""What is kept; beyond either, the oldest change goes."""

_MOST_OF_A_FILE = 32 << 20  # bytes of an earlier content
_MOST_OF_A_RECORD = 1 << 20  # bytes of change.json
_WAIT = 10.0  # seconds for the lock
_CHANGES = Path(FOLDER) / "changes"


@dataclass(slots=True, kw_only=True)
class Change:
    """A change being made, or one that was made.

    Attributes:
        tool: The tool that makes it.
        number: Its number, or 0 where nothing can be kept.
        steps: What was done, in order, as `change.json` has it.
        unkept: Why it cannot be undone, or an empty string.
        made: Seconds since the epoch.
    """

    tool: str
    number: int = 0
    steps: list[dict[str, Any]] = field(default_factory=list)
    unkept: str = ""
    made: float = 0

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return _CHANGES / str(self.number)

    @property
    def paths(self) -> list[str]:
        """The paths it is about."""
        return [str(step.get("to") or step["path"]) for step in self.steps if step["did"] != "folder"]

    def keep(self, path: str) -> None:
        """Keep what a file holds before it is written."""
        step: dict[str, Any] = {"did": "content", "path": path, "before": None}
        self.steps.append(step)
        with explained(path):
            try:
                facts = os.stat(path)  # noqa: PTH116
            except FileNotFoundError:
                return
            if not stat.S_ISREG(facts.st_mode):
                return
            if facts.st_size > _MOST_OF_A_FILE:
                self.unkept = f"{path} held more than {in_bytes(_MOST_OF_A_FILE)}"
                step["before"] = "unkept"
                return
            step["before"] = str(len(self.steps))
            step["mode"] = stat.S_IMODE(facts.st_mode)
            if self.number:
                shutil.copyfile(path, self.folder / step["before"])

    def make_folders(self, path: Path) -> None:
        """Make the folders above a path that are missing."""
        with explained(path):
            for folder in reversed(path.parents):
                if not folder.exists():
                    folder.mkdir()
                    self.steps.append({"did": "folder", "path": str(folder)})

    def move(self, source: str, target: str) -> None:
        """Move a file or folder to a name that is free."""
        with explained(source):
            shutil.move(source, target)
        self.steps.append({"did": "moved", "path": source, "to": target})

    def bin(self, path: str) -> str:
        """Move a file or folder here, out of the way.

        Returns:
            Where it lies now.
        """
        if not self.number:
            raise ToolError(
                f"{path} cannot be kept: {self.unkept}. permanent=true deletes it for good.", "bin_unusable"
            )
        with explained(path):
            size = size_of(Path(path))
            if size > MOST_BYTES:
                raise ToolError(
                    f"{path} holds {in_bytes(size)}, and the bin keeps {in_bytes(MOST_BYTES)}. "
                    "permanent=true deletes it for good.",
                    "too_large",
                )
            place = self.folder / f"deleted-{len(self.steps)}"
            place.mkdir()
            target = place / Path(path).name
            shutil.move(path, target)
        self.steps.append({"did": "binned", "path": path, "item": str(target.relative_to(self.folder))})
        return str(target)

    def finish(self) -> None:
        """Write down how the change left things."""
        if not self.number:
            return
        for step in self.steps:
            if step["did"] == "content":
                step["after"] = _digest(Path(step["path"]))
        record = {"tool": self.tool, "made": time.time(), "bytes": size_of(self.folder), "steps": self.steps}
        if self.unkept:
            record["unkept"] = self.unkept
        replace_file(str(self.folder / "change.json"), json.dumps(record, ensure_ascii=False).encode(errors="replace"))
        _trim(self.number)

    def hint(self) -> str:
        """What a result says about taking it back."""
        return f" It cannot be undone: {self.unkept}." if self.unkept else f" undo(change={self.number}) takes it back."


@contextmanager
def locked() -> Iterator[str]:
    """One change at a time in a workspace.

    Yields:
        Why nothing can be kept here, or an empty string.

    Raises:
        ToolError: `busy`.
    """
    try:
        for folder in (Path(FOLDER), _CHANGES):
            folder.mkdir(exist_ok=True)
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise NotADirectoryError
        ignore = Path(FOLDER) / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        lock = os.open(Path(FOLDER) / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        yield f"{FOLDER} cannot be used here ({error.strerror or 'it is no folder'})"
        return
    try:
        deadline = time.monotonic() + _WAIT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ToolError(
                        "Another change of this workspace is still being made. Try again.", "busy"
                    ) from None
                time.sleep(0.01)
        yield ""
    finally:
        os.close(lock)


@contextmanager
def change(tool: str) -> Iterator[Change]:
    """A change that is kept: to be undone later, and at once where the block fails half way."""
    with locked() as unkept:
        made = Change(tool=tool, unkept=unkept)
        if not unkept:
            made.number = max(_numbers(), default=0) + 1
            made.folder.mkdir()
        try:
            yield made
            made.finish()
        except BaseException:
            if made.number:
                with suppress(OSError, ToolError):
                    _take_back(made)
                shutil.rmtree(made.folder, ignore_errors=True)
            raise


def changes() -> list[Change]:
    """What can be undone, newest first."""
    found = []
    for number in sorted(_numbers(), reverse=True):
        with suppress(ToolError):
            found.append(_read(number))
    return found


def undo(number: int) -> Change:
    """Take a change back, if things are still as it left them.

    Raises:
        ToolError: `no_such_change`, `not_kept`, `changed_since`.
    """
    made = _read(number)
    if made.unkept:
        raise ToolError(f"Change {number} cannot be undone: {made.unkept}.", "not_kept")
    for step in made.steps:
        _check(made, step)
    _take_back(made)
    shutil.rmtree(made.folder, ignore_errors=True)
    return made


def _check(made: Change, step: dict[str, Any]) -> None:
    path = Path(step["path"])
    match step["did"]:
        case "content":
            if _digest(path) != step["after"]:
                raise _since(made, f"{path} was changed")
        case "moved":
            if not os.path.lexists(step["to"]):
                raise _since(made, f"{step['to']} is gone")
            if os.path.lexists(path):
                raise _since(made, f"there is another {path}")
        case "binned":
            if any(other["did"] == "moved" and other["to"] == step["path"] for other in made.steps):
                return  # what replaced it is moved back first
            if os.path.lexists(path):
                raise _since(made, f"there is another {path}")


def _since(made: Change, what: str) -> ToolError:
    return ToolError(
        f"Change {made.number} cannot be undone, because {what} since then. What it kept is in {made.folder}.",
        "changed_since",
    )


def _take_back(made: Change) -> None:
    for step in reversed(made.steps):
        path = step["path"]
        with explained(path):
            match step["did"]:
                case "content" if step["before"] is None:
                    with suppress(FileNotFoundError):
                        Path(path).unlink()
                case "content":
                    replace_file(path, _blob(made, step["before"]))
                    Path(path).chmod(step["mode"])
                case "folder":
                    with suppress(OSError):  # something else is in it now
                        Path(path).rmdir()
                case "moved":
                    shutil.move(step["to"], path)
                case "binned":
                    shutil.move(made.folder / step["item"], path)


def _blob(made: Change, name: str, most: int = _MOST_OF_A_FILE) -> bytes:
    fd = os.open(made.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        return file.read(most)


def _digest(path: Path) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _numbers() -> list[int]:
    try:
        if not stat.S_ISDIR(_CHANGES.lstat().st_mode) or Path(FOLDER).is_symlink():
            return []
        names = [folder.name for folder in _CHANGES.iterdir()]
    except OSError:
        return []
    return kept_numbers(names)


def _read(number: int) -> Change:
    wrong = ToolError(f"There is no change {number}. `changes` lists those that can be undone.", "no_such_change")
    made = Change(tool="", number=number)
    if number not in _numbers() or made.folder.is_symlink():
        raise wrong
    try:
        record = read_kept_change(_blob(made, "change.json", _MOST_OF_A_RECORD))
    except (OSError, ValueError):
        raise wrong from None
    made.tool, made.made, made.unkept, made.steps = record.tool, record.made, record.unkept, list(record.steps)
    return made


def _trim(newest: int) -> None:
    """Let the oldest changes go until the rest is within bounds."""
    total = 0
    for kept, number in enumerate(sorted(_numbers(), reverse=True)):
        total += _bytes(number)
        if number != newest and (kept >= MOST_CHANGES or total > MOST_BYTES):
            _remove(_CHANGES / str(number))


def _bytes(number: int) -> int:
    """What a change takes, as its record has it: looking would mean walking through every deleted folder."""
    try:
        record = json.loads(_blob(Change(tool="", number=number), "change.json", _MOST_OF_A_RECORD))
        return max(0, int(record["bytes"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
        return
    for inner, _, _ in os.walk(folder):  # a folder that was deleted may have been closed to its owner
        with suppress(OSError):
            Path(inner).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
