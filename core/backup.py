"""Backing up a data directory while it is used, and restoring it into an empty one; both verify what they wrote.

A backup is one tar file: `manifest.json` first, with size, SHA-256 and mode of each other member. It holds the database
(copied page by page by SQLite itself), the audit log up to its last whole record, the keys, the policies with their
lock, the drop-in plugins and the settings file. Workspaces and what is prepared for sandboxes are not in it. It holds
keys, so only its owner can read it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

from toolhost.archive import FORMAT, MANIFEST, digest, new_file, pack
from toolhost.audit import log_files, verify
from toolhost.audit.index import index_rows
from toolhost.data import SEEDED, DataDirectory
from toolhost.errors import MachineError, UsageError
from toolhost.staging import staging

__all__ = ["back_up", "read_backup", "restore"]

DATABASE = "state/toolhost.db"

_LEAVE = frozenset({"toolhost.db", "toolhost.db-wal", "toolhost.db-shm", "toolhost.db.lock", "serve.lock", "panic"})
_TOPS = ("state", "policies", "plugins")
_SETTINGS = "toolhost.toml"
_CHUNK = 1 << 20


def back_up(data: DataDirectory, target: Path) -> dict[str, Any]:
    """Write a backup.

    Args:
        data: The data directory; a server may be using it.
        target: The file to make.

    Returns:
        Its manifest.

    Raises:
        UsageError: `file_not_made`.
        MachineError: `backup_failed`.
    """
    fd = new_file(target)
    try:
        with os.fdopen(fd, "wb") as file, staging(data.state) as staged:
            _stage(data, staged)
            manifest = pack(staged, file)
        read_backup(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            target.unlink()
        if isinstance(error, OSError | sqlite3.Error):
            raise MachineError("backup_failed", f"The backup could not be made: {error}.", "Make room.") from error
        raise
    return manifest


def read_backup(source: Path) -> dict[str, Any]:
    """Check a backup, every byte of it, and return its manifest.

    Raises:
        MachineError: `backup_damaged`, `backup_unreadable`.
    """
    with _readable(source):
        return _read(source)


def _read(source: Path) -> dict[str, Any]:
    manifest: dict[str, Any] | None = None
    left: dict[str, Any] = {}
    for name, member, content in _members(source):
        if manifest is None:
            if name != MANIFEST:
                raise _damaged(source, "it does not begin with its manifest")
            manifest = _read_manifest(source, content)
            left = dict(manifest["files"])
            continue
        facts = left.pop(name, None)
        if facts is None:
            raise _damaged(source, f"it has {name!r}, which its manifest has not")
        if member.size != facts["size"] or digest(content) != facts["sha256"]:
            raise _damaged(source, f"{name} is not what was backed up")
    if manifest is None or left:
        raise _damaged(source, f"it ends before {next(iter(left))!r}" if left else "it is empty")
    return manifest


def restore(source: Path, data: DataDirectory) -> dict[str, Any]:
    """Put a backup into an empty data directory.

    Returns:
        Its manifest.

    Raises:
        UsageError: `data_not_empty`.
        MachineError: `backup_damaged`, `backup_unreadable`, `data_not_writable`.
    """
    if data.root.exists() and any(data.root.iterdir()):
        raise UsageError(
            "data_not_empty",
            f"The data folder {data.root} is not empty; a backup is restored into an empty one only.",
            "Move it away, or name another with TOOLHOST_DATA.",
        )
    manifest = read_backup(source)
    try:
        data.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        (data.root / "state").mkdir(mode=0o700)
        for name, _, content in _members(source):
            if name != MANIFEST:
                _put(data.root / name, content, manifest["files"][name]["mode"])
        _check(data.root)
    except BaseException as error:
        for left in data.root.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if isinstance(error, OSError | sqlite3.Error):
            raise MachineError("data_not_writable", f"The backup could not be restored: {error}.") from error
        raise
    return manifest


# -- writing -----------------------------------------------------------------------------------------------------------


def _stage(data: DataDirectory, staged: Path) -> None:
    """Copy each thing as it is at one moment; the database first, whose index may not be ahead of the log."""
    (staged / "state").mkdir(mode=0o700)
    _copy_database(data.state / "toolhost.db", staged / DATABASE)
    _copy_logs(data, staged / "state")
    for path in sorted(data.state.iterdir()):
        if path.is_file() and not path.is_symlink() and path.name not in _LEAVE and path.suffix != ".log":
            shutil.copy2(path, staged / "state" / path.name, follow_symlinks=False)
    for source, name in (
        (data.state / SEEDED, f"state/{SEEDED}"),
        (data.policies, "policies"),
        (data.plugins, "plugins"),
    ):
        if source.is_dir():
            shutil.copytree(source, staged / name, symlinks=True)
    settings = data.root / _SETTINGS
    if settings.is_file() and not settings.is_symlink():
        shutil.copy2(settings, staged / _SETTINGS)


def _copy_database(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, timeout=30)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")
        _sound(new, target)


def _copy_logs(data: DataDirectory, folder: Path) -> None:
    """Copy the logs as they are at one moment: locked, so that no file is begun meanwhile."""
    opened: list[tuple[str, IO[bytes], int]] = []
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(data.audit_log.open("rb"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in (*log_files(data.audit_log), *sorted(data.state.glob("security*.log"))):
            file = stack.enter_context(path.open("rb"))
            opened.append((path.name, file, os.fstat(file.fileno()).st_size))
        fcntl.flock(lock, fcntl.LOCK_UN)
        for name, log, size in opened:
            content = log.read(size)
            with (folder / name).open("xb") as copy:
                copy.write(content[: content.rfind(b"\n") + 1])
            (folder / name).chmod(0o600)
    found = verify(folder / "audit.log", index_rows(folder / "toolhost.db"))
    if not found.intact:
        worst = next(one for one in found.findings if not one.harmless)
        raise MachineError(
            "backup_failed",
            f"The audit log is not intact ({worst.code}, {worst.file.name}:{worst.line}): {worst.message}",
            "`toolhost audit verify` says more. Keep the data directory itself as evidence.",
        )


# -- reading -----------------------------------------------------------------------------------------------------------


def _members(source: Path) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes]]]:
    """The files of a backup; one with anything else in it is none."""
    with tarfile.open(source, mode="r|gz") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or not _fits(member.name):
                raise _damaged(source, f"it has {member.name!r}, which is no file of a backup")
            yield member.name, member, content


@contextlib.contextmanager
def _readable(source: Path) -> Iterator[None]:
    """What goes wrong in reading a backup, said as that."""
    try:
        yield
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(source, str(error)) from error
    except OSError as error:
        raise MachineError("backup_unreadable", f"{source} cannot be read: {error.strerror or error}.") from error


def _fits(name: str) -> bool:
    path = PurePosixPath(name)
    if name in (MANIFEST, _SETTINGS):
        return True
    return str(path) == name and len(path.parts) > 1 and path.parts[0] in _TOPS and ".." not in path.parts


def _read_manifest(source: Path, content: IO[bytes]) -> dict[str, Any]:
    try:
        manifest = json.loads(content.read())
        files = manifest["files"]
        good = (
            manifest["format"] == FORMAT
            and isinstance(manifest["created"], int)
            and isinstance(manifest["toolhost"], str)
            and all(
                isinstance(one["size"], int) and isinstance(one["sha256"], str) and isinstance(one["mode"], int)
                for one in files.values()
            )
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise _damaged(source, "its manifest is none, or of a later version")
    assert isinstance(manifest, dict)
    return manifest


def _put(target: Path, content: IO[bytes], mode: int) -> None:
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
        os.fchmod(file.fileno(), mode & 0o755)
        os.fsync(file.fileno())


def _check(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / DATABASE)) as database:
        _sound(database, root / DATABASE)
    found = verify(root / "state" / "audit.log", index_rows(root / DATABASE))
    if not found.intact:
        worst = next(one for one in found.findings if not one.harmless)
        raise MachineError("backup_damaged", f"The audit log of the backup is not intact: {worst.message}")


def _sound(database: sqlite3.Connection, path: Path) -> None:
    (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise MachineError("backup_failed", f"The database {path} is damaged: {verdict}.", "Restore an older backup.")


def _damaged(source: Path, why: str) -> MachineError:
    return MachineError("backup_damaged", f"{source} is no backup, or a damaged one: {why}.", "Use another one.")
