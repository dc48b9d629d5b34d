"""Pinning host programs: a name becomes one file, and stays that file."""

from __future__ import annotations

import functools
import hashlib
import os
import stat

from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.plan import Program

__all__ = ["SEARCH", "changed", "digest_of", "is_trusted", "pin"]

# Fixed, so that nobody's PATH decides which program a policy means.
SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def pin(name: str) -> Program:
    """Resolve a program once.

    Args:
        name: A bare name, looked up in `SEARCH`, or an absolute path.

    Raises:
        PlanRefused: `program_missing`; or `program_not_trusted` where anyone but root could change the file or put
            another in its place.
    """
    path = _find(name)
    target = os.path.realpath(path)
    for place in {path, target}:
        _check_folders(name, os.path.dirname(place))
    facts = os.stat(target)
    _check_trusted(name, target, facts)
    return Program(
        name=name,
        path=path,
        target=target,
        device=facts.st_dev,
        inode=facts.st_ino,
        size=facts.st_size,
        modified_ns=facts.st_mtime_ns,
        digest=digest_of(target, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns),
    )


def changed(program: Program) -> bool:
    """Whether the file is another than the one that was pinned."""
    try:
        facts = os.stat(program.target, follow_symlinks=False)
    except OSError:
        return True
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns) != (
        program.device,
        program.inode,
        program.size,
        program.modified_ns,
    )


def is_trusted(path: str) -> bool:
    """Whether nobody but root can change a file or put another in its place."""
    try:
        target = os.path.realpath(path, strict=True)
        _check_folders(path, os.path.dirname(target))
        _check_trusted(path, target, os.stat(target))
    except (OSError, PlanRefused):
        return False
    return True


@functools.lru_cache(maxsize=1024)
def digest_of(path: str, device: int, inode: int, size: int, modified_ns: int) -> str:
    """`sha256:` and the digest of a file's bytes; the other arguments say which version of it the cache may hold."""
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _find(name: str) -> str:
    if "\0" in name or not name:
        raise PlanRefused("program_missing", f"{name!r} is not the name of a program.")
    if name.startswith("/"):
        candidates = [os.path.normpath(name)]
    elif "/" in name:
        raise PlanRefused("program_missing", f"{name!r} is neither a name nor an absolute path.")
    else:
        candidates = [f"{folder}/{name}" for folder in SEARCH]
    for path in candidates:
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                return path
        except OSError:
            continue
    if len(candidates) == 1 and (target := os.path.realpath(name)) != candidates[0]:
        raise PlanRefused(
            "program_missing",
            f"The program {name} leads to {target}, which is not there for this user.",
            "Make it anew with a program that everybody may start, such as one in /usr/bin.",
        )
    looked = f" (looked in {', '.join(SEARCH)})" if len(candidates) > 1 else ""
    raise PlanRefused(
        "program_missing",
        f"The program {name} is not installed.",
        f"Install it, or take it out of the policy{looked}.",
    )


def _check_trusted(name: str, path: str, facts: os.stat_result) -> None:
    if facts.st_uid != 0 or facts.st_mode & 0o022:
        raise PlanRefused(
            "program_not_trusted",
            f"The program {name} is not safe to pin: others than root can change {path}.",
            f"chown root {path}; chmod go-w {path}",
        )


def _check_folders(name: str, folder: str) -> None:
    while True:
        facts = os.stat(folder)
        # A sticky folder does not help: whoever may create in it may be first.
        _check_trusted(name, folder, facts)
        if folder == "/":
            return
        folder = os.path.dirname(folder)
