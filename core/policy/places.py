"""Which host folders may be shown to tools at all: never the control plane, nor what holds or lies in it."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from toolhost.sandbox.programs import SEARCH

__all__ = ["Places", "UnfitError", "within"]

_NEVER = ("/etc", "/proc", "/sys", "/dev", "/run", "/var/run", "/boot")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt/bin")
# Sockets of X11, and the storage of those who run containers and virtual machines, with their sockets; the others
# (docker, podman, containerd, D-Bus, Wayland, systemd) have theirs in /run.
_SOCKETS = (
    "/tmp/.X11-unix",  # noqa: S108 - refused, not used
    "/tmp/.ICE-unix",  # noqa: S108
    "/tmp/.font-unix",  # noqa: S108
    "/tmp/.XIM-unix",  # noqa: S108
    *(f"/var/lib/{name}" for name in ("docker", "containerd", "containers", "kubelet", "libvirt", "lxd", "incus")),
    "/var/snap",
    "/snap",
)
_LATER = ("/var/spool/cron", "/var/spool/at", "/var/lib/systemd", "/var/lib/dpkg")
_INSIDE = ("/tmp", "/workspace")  # noqa: S108 - what these names mean inside a sandbox
_FIRST_PERSON = 1000  # uids from here on are people's (login.defs, UID_MIN)
_LAST_PERSON = 59999


@dataclass(frozen=True, slots=True)
class UnfitError(Exception):
    """Raised for a path that may not be a root."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of this host that a root is compared with.

    Attributes:
        state: `$DATA/state`.
        policies: The policies folders.
        plugins: The plugins folder.
        workspaces: `$DATA/workspaces`; the folders in it may be roots wherever they lie.
        homes: Home folders of people.
    """

    state: str
    policies: tuple[str, ...]
    plugins: str
    workspaces: str
    homes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, *, data: Path, policies: Path, plugins: Path) -> Places:
        """The places of a host with these folders, which need not exist yet."""
        return cls(
            state=os.path.realpath(data / "state"),
            policies=tuple({os.path.realpath(policies), os.path.realpath(data / "policies")}),
            plugins=os.path.realpath(plugins),
            workspaces=os.path.realpath(data / "workspaces"),
            homes=_homes(_version_of("/etc/passwd")),
        )

    def now(self) -> Places:
        """The same with the home folders of the people there are now."""
        homes = _homes(_version_of("/etc/passwd"))
        return self if homes is self.homes else replace(self, homes=homes)

    def check(self, path: str, *, writable: bool, allowed: Iterable[str] | None = None) -> None:
        """Check an absolute path without links.

        Args:
            path: The path.
            writable: Whether it would be written.
            allowed: Places under which roots may lie; None is anywhere.

        Raises:
            UnfitError: `root_control_plane`, `root_not_allowed`.
        """
        if path != self.workspaces and within(path, self.workspaces):
            return
        self._check_exact(path, writable=writable)
        for place, what in self._forbidden(writable):
            if within(path, place):
                raise UnfitError(
                    "root_control_plane", f"{path} is {_part(path, place)}{what}, which no tool may reach."
                )
            if within(place, path):
                raise UnfitError("root_control_plane", f"{path} holds {place}, {what}, which no tool may reach.")
        if allowed is not None and not any(within(path, place) for place in allowed):
            raise UnfitError(
                "root_not_allowed", f"{path} lies under none of the places that host.toml allows for roots."
            )

    def _forbidden(self, writable: bool) -> Iterable[tuple[str, str]]:
        yield self.state, "the host's own state"
        for folder in self.policies:
            yield folder, "the policies folder"
        yield self.plugins, "the plugins folder"
        for folder in _NEVER:
            yield folder, "a folder of the system"
        for folder in _SYSTEM if writable else SEARCH:
            yield folder, "a folder of the system's programs"
        for folder in _SOCKETS:
            yield folder, "a place of sockets that give power over the host"
        for folder in _LATER if writable else ():
            yield folder, "a place of files that the system obeys later"

    def _check_exact(self, path: str, *, writable: bool) -> None:
        if path == "/":
            raise UnfitError("root_control_plane", "/ is the whole machine: name a folder of a project.")
        if path == self.workspaces:
            raise UnfitError("root_control_plane", f"{path} holds the workspaces of all conversations.")
        if path == "/home" or os.path.dirname(path) == "/home" or path in self.homes:  # noqa: PTH120
            raise UnfitError("root_control_plane", f"{path} is a home folder: name a folder inside it.")
        if any(within(home, path) for home in self.homes):
            raise UnfitError("root_control_plane", f"{path} holds the home folder of a person.")
        if writable and within(path, sys.prefix):
            raise UnfitError("root_control_plane", f"{path} is part of the environment that the host runs from.")
        if path in _INSIDE or path.startswith("/workspace/"):
            raise UnfitError("root_control_plane", f"{path} has another meaning inside a sandbox.")
        try:
            mode = os.stat(path, follow_symlinks=False).st_mode  # noqa: PTH116
        except OSError:
            return
        if stat.S_ISSOCK(mode):
            raise UnfitError("root_control_plane", f"{path} is a socket, and sockets give power over the host.")


@lru_cache(maxsize=1)
def _homes(version: tuple[int, ...]) -> tuple[str, ...]:
    """The home folders of people; read again when the list of users has changed."""
    homes = {
        entry.pw_dir for entry in pwd.getpwall() if entry.pw_uid == 0 or _FIRST_PERSON <= entry.pw_uid <= _LAST_PERSON
    }
    return tuple(sorted(homes - {"/", "/nonexistent"}))


def _version_of(path: str) -> tuple[int, ...]:
    facts = os.stat(path)  # noqa: PTH116 - on every call
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def within(path: str, place: str) -> bool:
    """Whether a path is a place or lies in it, by whole components."""
    return path == place or place == "/" or path.startswith(place + "/")


def _part(path: str, place: str) -> str:
    return "" if path == place else f"part of {place}, "
