"""Finding out where a path value leads: beneath which root, and what it is called inside.

The kernel follows the path from the root's descriptor and refuses to leave it (`open_beneath`). The names are only
compared to find the root, to keep `[paths] deny` and `protect`, and for examples, which have no files.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Self

from toolhost.policy.request import Refusal
from toolhost.sandbox.beneath import open_beneath, open_without_links
from toolhost.sandbox.collect import CollectRefused, read_collected
from toolhost.sandbox.globs import hides
from toolhost.sandbox.plan import Root

__all__ = ["Found", "Kind", "Lookup"]

Kind = Literal["missing", "file", "folder", "other"]

_MAX_PATH = 4095
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path is.

    Attributes:
        spelled: How the sandboxed program is told: inside paths; a relative path stays relative.
        inside: The absolute path inside, without `.`; links are not resolved.
    """

    spelled: str
    inside: str


class Lookup:
    """Looks paths up in a call's roots. Use it as a context: it holds the roots' descriptors.

    Args:
        roots: The roots of the call.
        cwd: The working folder inside, for relative paths.
        lexical: Compare names only; for examples in policy files.

    Attributes:
        used: Whether a path was looked up.
    """

    def __init__(self, roots: Sequence[Root], cwd: str, *, lexical: bool = False) -> None:
        self._roots = roots
        self._cwd = cwd
        self._lexical = lexical
        self._open: dict[str, int] = {}
        self.used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def folder(self, path: str) -> Found | Refusal:
        """Look up a working folder."""
        found = self.path(path)
        if isinstance(found, Refusal):
            return Refusal(code="cwd_outside_roots", reason=f"The working folder cannot be used: {found.reason}")
        if not self._lexical:
            root, parts = self._place(path) or (None, [])
            if root is None or not self._is_folder(root, parts):
                return Refusal(code="cwd_missing", reason=f"The working folder {_shown(path)} does not exist.")
        return found

    def path(self, value: str, *, write: bool = False) -> Found | Refusal:
        """Look up a value of a path slot or path argument.

        Args:
            value: As the caller wrote it: a host path, an inside path, or relative to the working folder.
            write: Whether it is meant to be written.

        Returns:
            Where it is. A file that does not exist is found where it would be: its program says so better.
        """
        judged = self._judged(value, write=write)
        if isinstance(judged, Refusal):
            return judged
        root, parts, _ = judged
        inside = "/".join([root.target, *parts]) if root.target != "/" else "/" + "/".join(parts)
        if value.startswith("/"):
            return Found(inside + "/" * (value.endswith("/") and bool(parts)), inside)
        return Found(f"./{value}" if _means_more(value) else value, inside)

    def content(self, value: str, most: int) -> bytes | None:
        """What a file holds that is to be written, read as whatever a sandbox left behind is read.

        Args:
            value: As for `path`.
            most: Bytes it may have.

        Returns:
            None where there is no file yet.

        Raises:
            CollectRefused: It is none that the host touches, larger, or not the call's to write: then `not_permitted`.
        """
        judged = self._judged(value, write=True)
        if isinstance(judged, Refusal):
            raise CollectRefused("not_permitted", judged.reason)
        root, _, real = judged
        try:
            return read_collected(self._fd(root), "/".join(real), most)
        except CollectRefused as refused:
            if refused.code == "file_not_found" and not self._exists(root, real):
                return None
            raise
        except OSError as error:
            raise CollectRefused(
                "file_not_found", f"The folder of {_shown(value)} is gone: {error.strerror}."
            ) from None

    def kind(self, value: str) -> Kind:
        """What stands at a path that is to be written: a link is told, and not followed.

        Raises:
            CollectRefused: It is not the call's to write: then `not_permitted`; or it cannot be told.
        """
        judged = self._judged(value, write=True)
        if isinstance(judged, Refusal):
            raise CollectRefused("not_permitted", judged.reason)
        root, parts, _ = judged
        try:
            if not parts or parts[-1] == "..":
                return "folder" if self._is_folder(root, parts) else "missing"
            fd = self._beneath(root, parts[:-1])
            try:
                mode = os.stat(parts[-1], dir_fd=fd, follow_symlinks=False).st_mode
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return "missing"
            raise CollectRefused("file_not_found", f"{_shown(value)} cannot be looked at: {error.strerror}.") from None
        return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"

    def names(self, value: str, most: int) -> list[str]:
        """The names in a folder that is to be written.

        Args:
            value: As for `path`.
            most: How many there may be.

        Raises:
            CollectRefused: As for `kind`, or it is no folder, or holds more.
        """
        judged = self._judged(value, write=True)
        if isinstance(judged, Refusal):
            raise CollectRefused("not_permitted", judged.reason)
        root, parts, _ = judged
        try:
            fd = self._beneath(root, parts)
            try:
                reader = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            finally:
                os.close(fd)
            try:
                with os.scandir(reader) as entries:
                    found = [entry.name for entry in islice(entries, most + 1)]
            finally:
                os.close(reader)
        except OSError as error:
            raise CollectRefused("file_not_found", f"{_shown(value)} cannot be listed: {error.strerror}.") from None
        if len(found) > most:
            raise CollectRefused("file_too_large", f"{_shown(value)} holds more than {most} names.")
        return found

    def _judged(self, value: str, *, write: bool) -> tuple[Root, Sequence[str], Sequence[str]] | Refusal:
        """The root a path lies in, its components below, and the real ones; or why the call may not use it."""
        self.used = True
        wrong = _malformed(value)
        if wrong:
            return Refusal(code="bad_path", reason=f"{_shown(value)} is no usable path: {wrong}.")
        placed = self._place(value)
        if placed is None:
            return Refusal(code="path_outside_roots", reason=f"{_shown(value)} lies outside every folder of this tool.")
        root, parts = placed
        if _leaves(parts):
            return _escape(value)
        real: Sequence[str] | Refusal = parts if self._lexical else self._follow(root, parts, value)
        if isinstance(real, Refusal):
            return real
        normal = _normal(real)
        refusal = self._kept(root, normal, value, write=write)
        return (root, parts, normal) if refusal is None else refusal

    def _place(self, value: str) -> tuple[Root, list[str]] | None:
        """The root a path lies in by its name, and the components below it; `..` is left for the kernel to judge."""
        parts = [part for part in value.split("/") if part not in ("", ".")]
        if not value.startswith("/"):
            parts = [*_parts(self._cwd), *parts]
        best: tuple[int, Root] | None = None
        for root in self._roots:
            for base in {root.target, root.source} if value.startswith("/") else {root.target}:
                length = len(_parts(base))
                if parts[:length] == _parts(base) and (best is None or length > best[0]):
                    best = length, root
        return None if best is None else (best[1], parts[best[0] :])

    def _follow(self, root: Root, parts: Sequence[str], value: str) -> Sequence[str] | Refusal:
        """The real components below the root, every link followed as far as there are files."""
        existing = len(parts)
        while True:
            try:
                fd = self._beneath(root, parts[:existing])
                break
            except OSError as error:
                if error.errno in (errno.EXDEV, errno.ELOOP):
                    return _escape(value)
                if error.errno == errno.ENAMETOOLONG:
                    return Refusal(code="bad_path", reason=f"{_shown(value)} is no usable path: it is too long.")
                if error.errno != errno.ENOENT or not existing:
                    return parts  # no folder, no permission: the program finds the same and can say so
                existing -= 1
        try:
            if not stat.S_ISDIR(os.fstat(self._fd(root)).st_mode):
                return parts
            real = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - on every call
        finally:
            os.close(fd)
        return [*_parts(real)[len(_parts(root.source)) :], *parts[existing:]]

    def _beneath(self, root: Root, parts: Sequence[str]) -> int:
        if not parts:
            return os.dup(self._fd(root))
        return open_beneath(self._fd(root), "/".join(parts))

    def _is_folder(self, root: Root, parts: Sequence[str]) -> bool:
        with suppress(OSError):
            fd = self._beneath(root, parts)
            try:
                return stat.S_ISDIR(os.fstat(fd).st_mode)
            finally:
                os.close(fd)
        return False

    def _exists(self, root: Root, parts: Sequence[str]) -> bool:
        try:
            os.close(self._beneath(root, parts))
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENOTDIR)
        return True

    def _fd(self, root: Root) -> int:
        fd = self._open.get(root.target)
        if fd is None:
            fd = self._open[root.target] = open_without_links(root.source)
            info = os.fstat(fd)
            if (info.st_dev, info.st_ino) != (root.device, root.inode):
                raise OSError(errno.EXDEV, "the root was replaced", root.source)
        return fd

    def _kept(self, root: Root, real: list[str], value: str, *, write: bool) -> Refusal | None:
        """What the policy keeps from a tool inside its roots."""
        whole = [*_parts(root.source), *real]
        inner = [other for other in self._roots if whole[: len(_parts(other.source))] == _parts(other.source)]
        governing = max(inner, key=lambda other: len(_parts(other.source)), default=root)
        for hidden in root.hidden:
            if real[: len(_parts(hidden))] == _parts(hidden):
                return Refusal(code="path_denied", reason=f"{_shown(value)} is kept from this tool (`{hidden}`).")
        if root.hidden_globs and hides(root.hidden_globs, real):
            patterns = ", ".join(f"`{pattern}`" for pattern in root.hidden_globs)
            return Refusal(code="path_denied", reason=f"{_shown(value)} is kept from this tool ({patterns}).")
        if not write:
            return None
        if not governing.writable:
            return Refusal(code="path_read_only", reason=f"{_shown(value)} may be read by this tool, not written.")
        for protected in root.protected:
            if real[: len(_parts(protected))] == _parts(protected):
                return Refusal(code="path_protected", reason=f"{_shown(value)} is protected (`{protected}`).")
        return None


def _means_more(value: str) -> bool:
    """Whether programs may take a relative path for something else: a flag, a list of files (`@`), a file of another
    machine (`host:file`), or one of Git's ways to say which files (`:/`, `:!x`)."""
    return value.startswith(("-", "+", "@")) or ":" in value.partition("/")[0]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _normal(parts: Sequence[str]) -> list[str]:
    """Without `..`; for paths that stay beneath their root."""
    kept: list[str] = []
    for part in parts:
        if part != "..":
            kept.append(part)
        elif kept:
            kept.pop()
    return kept


def _leaves(parts: Sequence[str]) -> bool:
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _malformed(value: str) -> str:
    """What makes a string no path at all, or an empty string."""
    if not value:
        return "it is empty"
    if not (value.isascii() and value.isprintable()):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "it is not UTF-8"
        if any(unicodedata.category(char) == "Cc" for char in value):
            return "it holds a control character"
    if len(value.encode()) > _MAX_PATH or any(len(part.encode()) > _MAX_NAME for part in value.split("/")):
        return "it is too long"
    return ""


def _escape(value: str) -> Refusal:
    return Refusal(code="path_escapes_root", reason=f"{_shown(value)} leads out of the folder it is in.")


def _shown(value: str) -> str:
    """A path in a sentence: escaped where it could rewrite the line, and never the whole of a huge one."""
    short = value if len(value) <= 120 else value[:117] + "..."
    return f"`{short}`" if short.isprintable() else f"`{ascii(short)[1:-1]}`"
