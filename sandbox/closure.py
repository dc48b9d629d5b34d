"""Which libraries a program loads, as its own loader says.

Reading DT_NEEDED and searching like the loader does would be a second loader, wrong in the corners (RUNPATH, hwcaps,
ld.so.conf). `ld.so --list PROGRAM` runs nothing of the program.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess

from toolhost.sandbox.errors import PlanRefused

__all__ = ["interpreter", "is_elf", "libraries"]

_PT_INTERP = 3
_LINE = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$")


def is_elf(path: str) -> bool:
    """Whether a file is an ELF program or library."""
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def interpreter(path: str) -> str | None:
    """The loader a program names in itself (PT_INTERP); None for a static program, a library or a script."""
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2:  # ELFCLASS64
            return None
        order = "<" if head[5] == 1 else ">"
        (offset,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
        for number in range(count):
            kind, _, place, _, _, length = struct.unpack_from(order + "IIQQQQ", table, number * size)
            if kind == _PT_INTERP:
                file.seek(place)
                return os.fsdecode(file.read(length).rstrip(b"\0"))
    return None


def libraries(path: str, loader: str) -> list[str]:
    """The paths of every library `path` loads, the loader included.

    Args:
        path: An ELF file.
        loader: The loader that will run it.

    Raises:
        PlanRefused: A library is missing, or the loader cannot read the file.
    """
    done = subprocess.run([loader, "--list", path], env={}, capture_output=True, timeout=30, check=False, text=True)
    if "statically linked" in done.stdout + done.stderr:
        return [loader]
    missing = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("=> not found")]
    if done.returncode or missing:
        what = f"needs {', '.join(missing)}" if missing else done.stderr.strip()
        raise PlanRefused("library_missing", f"{path} cannot be loaded: {what}.", "Install the package that holds it.")
    found = [match[2] for line in done.stdout.splitlines() if (match := _LINE.match(line))]
    return [loader, *found]
