"""Making archives."""

from __future__ import annotations

import os
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from toolhost import ToolContext, ToolError
from toolhost.plugins.archive.members import MOST_BYTES, MOST_MEMBERS, in_bytes

__all__ = ["FORMATS", "make"]

FORMATS = {
    ".zip": "zip",
    ".tar": "w",
    ".tar.gz": "w:gz",
    ".tgz": "w:gz",
    ".tar.bz2": "w:bz2",
    ".tar.xz": "w:xz",
    ".txz": "w:xz",
}
_PASSED_OVER = (".toolhost",)
_FIRST_OF_ZIP = 315_532_800  # 1980, the earliest moment a zip can say


def make(ctx: ToolContext, target: str, sources: list[str]) -> tuple[int, int, list[str]]:
    """Make an archive.

    Returns:
        How many files are in it, their bytes, and the names of what was left out.

    Raises:
        ToolError: `not_an_archive` for a name without a known ending, `not_found`, `too_large`, `exists_already`.
    """
    kind = next((kind for ending, kind in FORMATS.items() if target.lower().endswith(ending)), None)
    if kind is None:
        raise ToolError(f"The ending of {target} says no format: use one of {', '.join(FORMATS)}.", "not_an_archive")
    left_out: list[str] = []
    files = list(_files(sources, Path(target), left_out))
    total = sum(path.lstat().st_size for path, _ in files)
    if len(files) > MOST_MEMBERS or total > MOST_BYTES:
        raise ToolError(
            f"These are {len(files)} files of {in_bytes(total)}; at most {MOST_MEMBERS} and {in_bytes(MOST_BYTES)}.",
            "too_large",
        )
    try:
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise ToolError(f"{target} exists already: choose another name.", "exists_already") from None
    except OSError as error:
        raise ToolError(f"{target}: {error.strerror}.", "io_error") from error
    try:
        with os.fdopen(fd, "wb") as file:
            if kind == "zip":
                _zip(ctx, file, files)
            else:
                _tar(ctx, file, kind, files)
    except BaseException as error:
        with suppress(OSError):
            Path(target).unlink()
        if isinstance(error, OSError):
            raise ToolError(f"{error.filename or target}: {error.strerror}.", "io_error") from error
        raise
    return len(files), total, left_out


def _files(sources: list[str], target: Path, left_out: list[str]) -> Iterator[tuple[Path, str]]:
    """Every plain file below the sources, with its name in the archive."""
    for source in sources:
        path = Path(source)
        if not os.path.lexists(path):
            raise ToolError(f"{source} does not exist here.", "not_found")
        inside = Path(path.name) if path.is_absolute() or ".." in path.parts else path
        if not path.is_dir() or path.is_symlink():
            yield from _one(path, inside, target, left_out)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
            for name in sorted(names):
                file = Path(folder) / name
                yield from _one(file, inside / file.relative_to(path), target, left_out)
            left_out += [str(Path(folder) / name) for name in folders if (Path(folder) / name).is_symlink()]


def _one(path: Path, inside: Path, target: Path, left_out: list[str]) -> Iterator[tuple[Path, str]]:
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode) or stat.S_IMODE(facts.st_mode) in (0, stat.S_ISVTX):
        if not path.name.startswith(".") or facts.st_size:
            left_out.append(str(path))
    elif not (target.exists() and path.samefile(target)):
        yield path, str(inside)


def _zip(ctx: ToolContext, file, files: list[tuple[Path, str]]) -> None:  # type: ignore[no-untyped-def]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (path, name) in enumerate(files):
            _tell(ctx, number, files)
            facts = path.stat()
            info = zipfile.ZipInfo(name, time.localtime(max(facts.st_mtime, _FIRST_OF_ZIP))[:6])
            info.external_attr = (stat.S_IFREG | (0o755 if facts.st_mode & 0o100 else 0o644)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info.file_size = facts.st_size
            with path.open("rb") as source, archive.open(info, "w") as member:
                while block := source.read(1 << 20):
                    ctx.check()
                    member.write(block)


def _tar(ctx: ToolContext, file, mode: str, files: list[tuple[Path, str]]) -> None:  # type: ignore[no-untyped-def]
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for number, (path, name) in enumerate(files):
            _tell(ctx, number, files)
            with path.open("rb") as source:
                info = archive.gettarinfo(arcname=name, fileobj=source)
                # Who made it is nobody's business, and another machine has other users.
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                info.mode = 0o755 if info.mode & 0o100 else 0o644
                if not info.isfile():  # another name of a file that is in it already
                    info.type, info.size = tarfile.REGTYPE, path.stat().st_size
                archive.addfile(info, source)


def _tell(ctx: ToolContext, number: int, files: list[tuple[Path, str]]) -> None:
    ctx.check()
    if number % 100 == 0:
        ctx.progress(number, len(files), files[number][1])
