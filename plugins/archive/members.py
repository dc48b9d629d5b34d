"""Reading an archive that may be hostile: its members one after the other, judged before anything is written.

Nothing of an archive is believed. A member is taken only where it is a plain file or folder with a name that stays
below the folder it is extracted to; what is read is counted, whatever the archive says of its size.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from toolhost import ToolContext, ToolError

__all__ = ["MOST_BYTES", "MOST_MEMBERS", "Member", "check_name", "in_bytes", "members", "shown"]

MOST_MEMBERS = 20_000
MOST_BYTES = 1 << 30
"""Of everything in an archive, extracted."""

_DEEPEST = 64  # folders
_LONGEST_NAME = 255  # bytes of one component
_LONGEST_SHOWN = 400  # characters of a name
_BLOCK = 256 << 10

Kind = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Something in an archive.

    Attributes:
        name: As the archive has it.
        kind: `file`, `folder`, or what is never extracted: `link`, `special` (a device, a FIFO).
        size: Bytes as the archive says; -1 for a single compressed file, which does not say.
        modified: Seconds since the epoch.
        executable: Whether its owner may execute it.
        problem: Why it is not extracted, or an empty string.
        content: Its bytes, for a file; to be read before the next member.
    """

    name: str
    kind: Kind
    size: int
    modified: float
    executable: bool
    problem: str
    content: IO[bytes] | None


@contextmanager
def members(ctx: ToolContext, archive: str) -> Iterator[Iterator[Member]]:
    """The members of an archive, in its order.

    Raises:
        ToolError: `not_an_archive`, `damaged_archive`, `archive_bomb`, `not_found`.
    """
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_open(archive))
            start = file.read(8)
            file.seek(0)
            if start[:4] in (b"PK\3\4", b"PK\5\6"):
                yield _counted(ctx, _zip(stack, file))
            else:
                stream = stack.enter_context(_plain(file, start))
                yield _counted(ctx, _tar(stack, io.BufferedReader(_Capped(stream), _BLOCK), Path(archive), start))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile) and error.errno is not None:
            raise ToolError(f"{archive}: {error.strerror}.", "io_error") from error
        raise ToolError(f"{archive} is damaged: {error}.", "damaged_archive") from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile: a method it does not know, or encryption
        raise ToolError(f"{archive} cannot be read: {error}.", "not_an_archive") from error


def check_name(name: str) -> str:
    """Why a name may not be extracted, or an empty string."""
    if not name or "\0" in name:
        return "it has no name"
    if any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in name):
        return "its name holds control characters or is no UTF-8"
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":" and name[0].isalpha()):
        return "its name is absolute"
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or ".." in name.split("\\"):
        return "its name leads out of the folder (..)"
    if len(parts) > _DEEPEST:
        return f"it lies more than {_DEEPEST} folders deep"
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return "its name is too long"
    if any(part in (".git", ".toolhost") for part in parts):
        return "it lies in a folder that other programs obey (.git, .toolhost)"
    return ""


def shown(name: str) -> str:
    """A name as it can stand in a line: what cannot be printed is escaped, and what is too long to be one is cut."""
    name = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name[: _LONGEST_SHOWN + 1])
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"


def in_bytes(size: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{size} bytes" if size != 1 else "1 byte"


def _open(archive: str) -> IO[bytes]:
    path = Path(archive)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ToolError(f"{archive} is no file.", "not_a_file")
        return path.open("rb")
    except FileNotFoundError:
        raise ToolError(f"{archive} does not exist here.", "not_found") from None


def _plain(file: IO[bytes], start: bytes) -> IO[bytes]:
    """The stream behind a compression."""
    if start[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if start[:3] == b"BZh":
        return bz2.BZ2File(file)
    if start[:6] == b"\xfd7zXZ\0" or start[:3] == b"\x5d\0\0":
        return lzma.LZMAFile(file)
    return file


class _Capped(io.RawIOBase):
    """A stream that ends in an error where it holds more than anything here may."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._left = MOST_BYTES + (64 << 20)  # headers

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        data = self._stream.read(min(len(buffer), _BLOCK))
        self._left -= len(data)
        if self._left < 0:
            raise _bomb()
        buffer[: len(data)] = data
        return len(data)


def _bomb() -> ToolError:
    return ToolError(
        f"The archive unpacks to more than {in_bytes(MOST_BYTES)} or {MOST_MEMBERS} members, the most this tool does.",
        "archive_bomb",
    )


def _counted(ctx: ToolContext, found: Iterator[Member]) -> Iterator[Member]:
    total = 0
    for number, member in enumerate(found, 1):
        if number % 200 == 0:
            ctx.check()
            ctx.progress(number, None, f"{number} members")
        total += max(0, member.size)
        if number > MOST_MEMBERS or total > MOST_BYTES:
            raise _bomb()
        yield member


def _zip(stack: ExitStack, file: IO[bytes]) -> Iterator[Member]:
    archive = stack.enter_context(zipfile.ZipFile(file))
    for info in archive.infolist():
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        kind: Kind = "folder" if info.is_dir() else "file"
        if stat.S_ISLNK(mode):
            kind = "link"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "special"
        problem = _kind_problem(kind) or check_name(info.filename)
        if info.flag_bits & 1:
            problem = problem or "it is encrypted"
        with ExitStack() as inner:
            content = inner.enter_context(archive.open(info)) if kind == "file" and not problem else None
            yield Member(
                name=info.filename,
                kind=kind,
                size=info.file_size,
                modified=_zip_time(info.date_time),
                executable=bool(mode & 0o100),
                problem=problem,
                content=content,
            )


def _zip_time(moment: tuple[int, int, int, int, int, int]) -> float:
    try:
        return time.mktime((*moment, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0


def _tar(stack: ExitStack, stream: io.BufferedReader, path: Path, start: bytes) -> Iterator[Member]:
    if stream.peek(512)[257:262] != b"ustar" and not _old_tar(stream.peek(512)[:512]):
        yield _single(stream, path, start)
        return
    archive = tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape")  # noqa: SIM115 - the stack closes it
    stack.enter_context(archive)
    for info in archive:
        kind: Kind = "special"
        if info.isfile():
            kind = "file"
        elif info.isdir():
            kind = "folder"
        elif info.issym() or info.islnk():
            kind = "link"
        problem = _kind_problem(kind) or check_name(info.name)
        if info.issparse():
            problem = problem or "it is sparse: its holes would fill the disk"
        yield Member(
            name=info.name,
            kind=kind,
            size=info.size,
            modified=float(info.mtime),
            executable=bool(info.mode & 0o100),
            problem=problem,
            content=archive.extractfile(info) if kind == "file" and not problem else None,
        )


def _old_tar(header: bytes) -> bool:
    """Whether a header without a magic word is one: its checksum says so."""
    try:
        return len(header) == 512 and tarfile.nti(header[148:156]) in tarfile.calc_chksums(header)  # type: ignore[attr-defined]
    except (tarfile.TarError, ValueError):
        return False


def _single(stream: io.BufferedReader, path: Path, start: bytes) -> Member:
    """A file that is compressed and no archive, such as a rotated log."""
    if path.suffix.lower() not in (".gz", ".bz2", ".xz", ".lzma") or start[:2] not in (
        b"\x1f\x8b",
        b"BZ",
        b"\xfd7",
        b"\x5d\0",
    ):
        raise ToolError(f"{path} is no zip or tar archive.", "not_an_archive")
    return Member(
        name=path.stem,
        kind="file",
        size=-1,
        modified=path.stat().st_mtime,
        executable=False,
        problem=check_name(path.stem),
        content=stream,
    )


def _kind_problem(kind: Kind) -> str:
    return {"link": "it is a link", "special": "it is a device or another special file"}.get(kind, "")
