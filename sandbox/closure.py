"""Which libraries a program loads, as its own loader says.

Reading DT_NEEDED and searching like the loader does would be a second loader, wrong in the corners (RUNPATH, hwcaps,
ld.so.conf). `ld.so --list PROGRAM` runs nothing of the program, if the program is an honest one: a file can name
libraries that the loader runs even then (DT_AUDIT) or lay itself over the loader (CVE-2019-1010023), outside any
sandbox. So the loader only ever reads files that nobody but root could have written. Of any other, such as a compiled
module in a plugin's folder, the names of the libraries are read here, and looked for among root's.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
from typing import BinaryIO

from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.programs import is_trusted

__all__ = ["index_libraries", "interpreter", "is_elf", "libraries"]

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5
_LONGEST_TABLE = 1 << 20
_LDCONFIG = "/sbin/ldconfig"
_LINE = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$")


def is_elf(path: str) -> bool:
    """Whether a file is an ELF program or library."""
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def interpreter(path: str) -> str | None:
    """The loader a program names in itself (PT_INTERP); None for a static program, a library or a script."""
    with open(path, "rb") as file:
        for kind, place, _, length in _segments(file)[1]:
            if kind == _PT_INTERP:
                return os.fsdecode(_at(file, place, min(length, _LONGEST_TABLE)).rstrip(b"\0"))
    return None


def libraries(path: str, loader: str) -> list[str]:
    """The paths of every library `path` loads, the loader included.

    Args:
        path: An ELF file.
        loader: The loader that will run it.

    Raises:
        PlanRefused: A library is missing, or the loader cannot read the file.
    """
    if not is_trusted(path):
        return _of_untrusted(path, loader)
    try:
        done = subprocess.run([loader, "--list", path], env={}, capture_output=True, timeout=30, check=False, text=True)
    except subprocess.TimeoutExpired:
        raise PlanRefused("library_missing", f"{loader} did not say in 30 s what {path} loads.", "Try again.") from None
    if "statically linked" in done.stdout + done.stderr:
        return [loader]
    missing = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("=> not found")]
    if done.returncode or missing:
        what = f"needs {', '.join(missing)}" if missing else done.stderr.strip()
        raise PlanRefused("library_missing", f"{path} cannot be loaded: {what}.", "Install the package that holds it.")
    found = [match[2] for line in done.stdout.splitlines() if (match := _LINE.match(line))]
    return [loader, *found]


def index_libraries(tree: str) -> str | None:
    """Make the loader's index of the libraries in a tree's standard folders; without it a loader searches them all.

    Returns:
        The index as a path in the tree, or None where none could be made.
    """
    index = "/etc/ld.so.cache"
    os.makedirs(f"{tree}/etc", mode=0o755, exist_ok=True)
    # -X: make no links; -i: keep no notes of its own.
    command = [_LDCONFIG, "-r", tree, "-X", "-i", "-f", os.devnull, "-C", index]
    try:
        subprocess.run(command, env={}, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return index if os.path.isfile(f"{tree}{index}") else None


def _of_untrusted(path: str, loader: str) -> list[str]:
    """The same for a file that others than root could have written: what it names, where that is root's.

    A library it brings along itself lies in the same support folder; one that is nowhere, its own loader misses inside.
    """
    names = _needed(path)
    kind = _kind(loader)
    found = [loader]
    for name, place in _installed() if names else ():
        if name in names and is_trusted(place) and _kind(place) == kind:
            names.remove(name)
            found += [*libraries(place, loader)[1:], place]
    return list(dict.fromkeys(found))


def _installed() -> list[tuple[str, str]]:
    """Name and path of every library the loader knows by itself."""
    try:
        done = subprocess.run([_LDCONFIG, "-p"], env={}, capture_output=True, timeout=30, check=False, text=True)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = (re.fullmatch(r"\t(\S+) \([^)]*\) => (/\S+)", line) for line in done.stdout.splitlines())
    return [(match[1], match[2]) for match in lines if match]


def _kind(path: str) -> bytes:
    """Class, byte order and machine of an ELF file."""
    with open(path, "rb") as file:
        head = file.read(20)
    return head[4:6] + head[18:20]


def _needed(path: str) -> set[str]:
    """DT_NEEDED of an ELF file, read with suspicion; nothing where the file makes no sense."""
    with open(path, "rb") as file:
        order, segments = _segments(file)
        dynamic = next(((place, length) for kind, place, _, length in segments if kind == _PT_DYNAMIC), (0, 0))
        table = _at(file, dynamic[0], min(dynamic[1], _LONGEST_TABLE))
        entries = [struct.unpack_from(order + "QQ", table, at) for at in range(0, len(table) - 15, 16)]
        strings = next((value for tag, value in entries if tag == _DT_STRTAB), -1)
        for kind, place, address, length in segments:
            if kind == _PT_LOAD and address <= strings < address + length:
                start, room = place + strings - address, address + length - strings
                text = _at(file, start, min(room, _LONGEST_TABLE))
                return {os.fsdecode(text[value:].split(b"\0", 1)[0]) for tag, value in entries if tag == _DT_NEEDED}
    return set()


def _segments(file: BinaryIO) -> tuple[str, list[tuple[int, int, int, int]]]:
    """Byte order, and each segment's kind, offset, address and length in the file; none where it is no 64-bit ELF."""
    head = file.read(64)
    if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2:  # ELFCLASS64
        return "<", []
    order = "<" if head[5] == 1 else ">"
    (offset,) = struct.unpack_from(order + "Q", head, 32)
    size, count = struct.unpack_from(order + "HH", head, 54)
    table = _at(file, offset, size * count)
    found = []
    for number in range(count if size >= 56 else 0):
        if len(table) >= number * size + 56:
            kind, _, place, address, _, length = struct.unpack_from(order + "IIQQQQ", table, number * size)
            found.append((kind, place, address, length))
    return order, found


def _at(file: BinaryIO, place: int, length: int) -> bytes:
    """What the file has there: nothing beyond its end, whatever its tables claim."""
    size = os.fstat(file.fileno()).st_size
    if place >= size:
        return b""
    file.seek(place)
    return file.read(min(length, size - place))
