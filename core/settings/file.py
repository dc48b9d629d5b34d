"""The settings file: `toolhost.toml`, every complaint about it with line and column."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolhost.errors import UsageError

if TYPE_CHECKING:
    from toolhost.policy.document import Document
    from toolhost.policy.table import Table

__all__ = ["SettingsFile"]

_MOST = 256 << 10  # bytes


class SettingsFile:
    """What stands in the file; an empty one where there is none.

    Attributes:
        path: The file.
        private: Whether only its owner can read it, so that it may hold secrets.
    """

    def __init__(self, path: Path, document: Document | None = None, *, private: bool = False) -> None:
        self.path = path
        self.private = private
        self._document = document

    @classmethod
    def read(cls, path: Path, *, required: bool) -> SettingsFile:
        """Read the file.

        Args:
            path: The file.
            required: Whether it must be there.

        Raises:
            UsageError: `setting_file_unusable`.
        """
        try:
            # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if required:
                raise _unusable(path, f"cannot be opened: {error.strerror}") from None
            return cls(path)
        except OSError as error:
            raise _unusable(path, f"cannot be opened: {error.strerror}") from None
        with os.fdopen(fd, "rb") as stream:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                raise _unusable(path, "is not a regular file")
            if mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise _unusable(path, "can be written by others than its owner", f"Run `chmod go-w {path}`.")
            data = stream.read(_MOST + 1)
        if len(data) > _MOST:
            raise _unusable(path, f"has more than {_MOST >> 10} KiB")
        # Imported here: without a file there is nothing to parse.
        from toolhost.policy.document import DocumentError, parse_document

        try:
            document = parse_document(data, path.name)
        except DocumentError as error:
            found = error.problem
            raise UsageError(
                "setting_file_unusable", f"{found.file}:{found.line}:{found.column}: {found.message}"
            ) from None
        return cls(path, document, private=not mode & (stat.S_IRGRP | stat.S_IROTH))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys at the top of the file."""
        return () if self._document is None else tuple(self._document.data)

    def value(self, key: str) -> Any:
        """What stands under a key at the top of the file, or None."""
        return None if self._document is None else self._document.data.get(key)

    def line(self, key: str) -> str:
        """`toolhost.toml:3`, where a key stands."""
        return self.path.name if self._document is None else str(self._document.key((key,)))

    def place(self, key: str) -> str:
        """`toolhost.toml:3:1`, where a key stands."""
        if self._document is None:
            return self.path.name
        place = self._document.key((key,))
        return f"{place}:{place.column}"

    @contextmanager
    def reading(self) -> Iterator[Table]:
        """Read sections: the table at the top of the file, whose `table` and `tables` read what is below.

        Unknown keys, wrong types and whatever the reader reports with `problem` are collected; the first is raised at
        the end.

        Raises:
            UsageError: `setting_invalid`, its message beginning with file, line and column.
        """
        from toolhost.policy.document import Document
        from toolhost.policy.table import Table

        document = self._document or Document(self.path.name, "", {})
        top = Table(document, [], self.keys)
        yield top
        if top.problems:
            first = min(top.problems, key=lambda problem: (problem.line, problem.column))
            more = f" ({len(top.problems) - 1} more)" if len(top.problems) > 1 else ""
            raise UsageError(
                "setting_invalid", f"{first.file}:{first.line}:{first.column}: {first.message}{more}", str(self.path)
            )


def _unusable(path: Path, why: str, hint: str = "") -> UsageError:
    return UsageError("setting_file_unusable", f"The settings file {path} {why}.", hint)
