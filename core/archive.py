"""One tar file that says what is in it: `manifest.json` first, with size, SHA-256 and mode of each other member."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from toolhost.errors import UsageError
from toolhost.identifiers import now_ms

__all__ = ["FORMAT", "MANIFEST", "digest", "new_file", "pack"]

MANIFEST = "manifest.json"
FORMAT = 1

_CHUNK = 1 << 20


def new_file(target: Path) -> int:
    """A descriptor of a new file that only its owner can read.

    Raises:
        UsageError: `file_not_made`.
    """
    try:
        return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError("file_not_made", f"The file {target} cannot be made: {error.strerror}.") from None


def pack(staged: Path, file: IO[bytes], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write the regular files of a folder, and be sure that they are on the disk.

    Args:
        staged: The folder.
        file: What is written.
        more: What the manifest says besides.

    Returns:
        The manifest.
    """
    files: dict[str, Any] = {}
    for path in sorted(staged.rglob("*")):
        facts = path.lstat()
        if stat.S_ISREG(facts.st_mode):
            with path.open("rb") as content:
                name, told = path.relative_to(staged).as_posix(), digest(content)
            files[name] = {"size": facts.st_size, "sha256": told, "mode": stat.S_IMODE(facts.st_mode) & 0o755}
    manifest = {
        "format": FORMAT,
        "toolhost": metadata.version("toolhost"),
        "created": now_ms(),
        **(more or {}),
        "files": files,
    }
    text = json.dumps(manifest, indent=1).encode()
    with gzip.open(file, "wb", compresslevel=6) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        _add(tar, MANIFEST, io.BytesIO(text), 0o600, len(text))
        for name, facts in files.items():
            with (staged / name).open("rb") as content:
                _add(tar, name, content, facts["mode"], facts["size"])
    file.flush()
    os.fsync(file.fileno())
    return manifest


def digest(content: IO[bytes]) -> str:
    """SHA-256 of what is left of a stream, in hexadecimal."""
    told = hashlib.sha256()
    while piece := content.read(_CHUNK):
        told.update(piece)
    return told.hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], mode: int, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.size = mode, size
    tar.addfile(info, content)
