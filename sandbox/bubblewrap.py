"""The words bubblewrap is started with.

A sandbox is these mounts, in this order, and no other:

    /           the tool root, read-only: programs, their libraries, host-made files, empty mount points
    /proc       of the sandbox's own pid namespace
    /dev        null, zero, full, random, urandom; /dev/shm is /tmp
    /tmp        private, sized, nosuid, nodev, noexec
    /run/secrets/NAME   one read-only file a secret, of memory: mode 0400, the tool's own
    the roots   each already nosuid, nodev, noexec and read-only as the plan says: the spawner mounted it so

Folders are handed over as descriptors. bubblewrap 0.8 opens them again by path and compares device and inode, so they
must mean the same in the namespace it starts in: the spawner's.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Sequence
from functools import lru_cache

from toolhost.sandbox.errors import SandboxUnavailable
from toolhost.sandbox.script import ARGS, JSON, ROOTS, SECCOMP, launch_words

__all__ = ["DEV", "UID", "find_bubblewrap", "options", "words"]

UID = 1000
DEV = "/box/dev"  # in the spawner's namespace

_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")  # never PATH: a lookalike could stand earlier in it
_MINIMUM = (0, 8, 0)  # --disable-userns; --bind-fd came with the fix of CVE-2024-42472

_ISOLATION = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup",
    "--disable-userns",
    "--uid",
    str(UID),
    "--gid",
    str(UID),
    "--hostname",
    "toolhost",
    "--clearenv",
    "--new-session",
    "--die-with-parent",
    "--cap-drop",
    "ALL",
    "--as-pid-1",
)


@lru_cache(maxsize=64)
def options(targets: tuple[str, ...], secrets: tuple[str, ...] = ()) -> bytes:
    """The options, NUL-separated, for `--args`.

    Args:
        targets: Where each root handed over stands inside, in descriptor order.
        secrets: Where each secret stands inside; their descriptors follow those of the roots.
    """
    made = [*_ISOLATION, "--json-status-fd", str(JSON), "--seccomp", str(SECCOMP)]
    made += ["--ro-bind-fd", str(ROOTS), "/", "--proc", "/proc", "--dev-bind", DEV, "/dev"]
    for number, target in enumerate(("/tmp", *targets), ROOTS + 1):  # noqa: S108
        made += ["--bind-fd", str(number), target]
    for number, target in enumerate(secrets, ROOTS + 2 + len(targets)):
        made += ["--perms", "0400", "--ro-bind-data", str(number), target]
    made += ["--chdir", "/"]
    return b"".join(os.fsencode(word) + b"\0" for word in made)


def words(program: str, limits: str, *, again: bool = False) -> tuple[str, ...]:
    """The argument vector: what anyone may read in `ps`.

    Args:
        program: bubblewrap.
        limits: What the launcher limits itself to: from `standing_limits`.
        again: Whether the sandbox is for many calls.
    """
    return (program, "--args", str(ARGS), "--", *launch_words(limits, again=again))


def find_bubblewrap(folders: Sequence[str] = _FOLDERS) -> str:
    """The path of a usable bubblewrap.

    Raises:
        SandboxUnavailable: None is installed, or it is set-uid, writable by others, or too old.
    """
    for folder in folders:
        path = f"{folder}/bwrap"
        try:
            facts = os.stat(path)
        except OSError:
            continue
        if facts.st_uid != 0 or facts.st_mode & 0o022:
            raise SandboxUnavailable(
                "bubblewrap_not_trusted",
                f"{path} can be changed by others than root.",
                f"chown root {path}; chmod 755 {path}",
            )
        if facts.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise SandboxUnavailable(
                "bubblewrap_setuid",
                f"{path} is installed set-uid, which makes every flaw of it a root hole.",
                f"chmod u-s,g-s {path} (user namespaces make it needless)",
            )
        if not os.access(path, os.X_OK):
            raise SandboxUnavailable("bubblewrap_not_executable", f"{path} cannot be executed.", f"chmod 755 {path}")
        _check_version(path)
        return path
    raise SandboxUnavailable("bubblewrap_missing", "bubblewrap is not installed.", "apt-get install bubblewrap")


def _check_version(path: str) -> None:
    try:
        said, version = (
            subprocess.run([path, word], env={}, capture_output=True, timeout=10, check=False, text=True)
            for word in ("--help", "--version")
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _broken(path, f"cannot be run: {error}") from error
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", version.stdout)
    if said.returncode or numbers is None:
        words = (said.stderr or version.stderr).strip()
        raise _broken(path, f"does not say what it can do: {words or f'it ended with {said.returncode}'}")
    found = tuple(int(one) for one in numbers.groups())
    help_text = said.stdout + said.stderr
    if found < _MINIMUM or "--bind-fd" not in help_text or "--disable-userns" not in help_text:
        raise SandboxUnavailable(
            "bubblewrap_too_old",
            f"{path} is version {'.'.join(map(str, found))}; needed is 0.8.0 with --bind-fd.",
            "apt-get update && apt-get install bubblewrap (Debian 12 with security updates, or later)",
        )


def _broken(path: str, what: str) -> SandboxUnavailable:
    return SandboxUnavailable("bubblewrap_broken", f"{path} {what}.", "apt-get install --reinstall bubblewrap")
