"""The policies in force: one folder of files, read as a whole, the last good version of each kept."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from importlib import resources
from pathlib import Path

from toolhost.errors import UsageError
from toolhost.policy.document import DocumentError, read_bytes
from toolhost.policy.host_file import LoadedHost, load_host
from toolhost.policy.load import RESERVED, load_policy
from toolhost.policy.places import Places, UnfitError
from toolhost.policy.problems import Problem
from toolhost.policy.values import HostPolicy, Policy
from toolhost.sandbox.beneath import open_without_links

__all__ = ["HOST_FILE", "PolicyStore", "check_workspace", "policy_files", "read_host"]

HOST_FILE = "host.toml"
"""The file that holds for every plugin."""


class PolicyStore:
    """Reads a folder of policies and keeps what is valid.

    Attributes:
        host: The host policy in force.
        problems: What is wrong with the files as they are now.
    """

    def __init__(self, folder: Path, *, data: Path, plugins: Path) -> None:
        """Prepare a store; `load` reads it.

        Args:
            folder: The policies folder.
            data: The data directory, which no root may touch.
            plugins: The plugins folder, likewise.
        """
        self.host = HostPolicy()
        self.problems: tuple[Problem, ...] = ()
        self._folder = folder
        self._data = data
        self._plugins = plugins
        self._policies: dict[str, Policy] = {}
        self._host_known = False
        self._places: Places | None = None

    def load(self) -> None:
        """Read every file again. A file that is not valid leaves its last good version in force, or nothing."""
        places = self._places = self._find_places()
        problems: list[Problem] = []
        loaded = read_host(self._folder / HOST_FILE, HOST_FILE, places)
        problems.extend(loaded.problems)
        if loaded.host is not None:
            self.host, self._host_known = loaded.host, True
        policies: dict[str, Policy] = {}
        for path in policy_files(self._folder, problems):
            if not self._host_known:
                break  # without the host's denies nothing may be granted
            result = load_policy(path, path.name, host=self.host, places=places)
            problems.extend(result.problems)
            policy = result.policy or self._policies.get(path.stem)
            if policy is not None:
                policies[path.stem] = policy
        self._policies = policies
        self.problems = tuple(problems)

    def _find_places(self) -> Places:
        return Places.of(data=self._data, policies=self._folder, plugins=self._plugins)

    def policy(self, plugin: str) -> Policy | None:
        """The policy in force for a plugin, or None."""
        return self._policies.get(plugin)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy in force, by name."""
        return tuple(self._policies[name] for name in sorted(self._policies))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an administrator should know although the files are valid."""
        return tuple(warning for policy in self.policies for warning in policy.warnings)

    def digest(self, plugin: str) -> str:
        """`sha256:` over host.toml and the plugin's file as they are in force."""
        policy = self._policies.get(plugin)
        return policy.digest if policy else "sha256:" + hashlib.sha256(self.host.content).hexdigest()

    def check_workspace(self, path: Path) -> None:
        """Check a folder somebody wants as the workspace of a call.

        Raises:
            UsageError: `workspace_not_allowed`, `workspace_not_accessible`.
        """
        text = str(path)
        if not path.is_absolute() or os.path.normpath(text) != text or not text.isprintable():
            raise _not_allowed(f"{text!a} is no plain absolute path.")
        places = self._places.now() if self._places else self._find_places()
        try:
            places.check(text, writable=True, allowed=self.host.allowed)
        except UnfitError as unfit:
            raise _not_allowed(unfit.message) from None
        try:
            os.close(open_without_links(text, os.O_RDONLY | os.O_DIRECTORY))
        except OSError as error:
            raise _unusable(path, error) from None


def check_workspace(path: Path, store: PolicyStore) -> None:
    """Check a folder somebody wants as the workspace of a call. See `PolicyStore.check_workspace`."""
    store.check_workspace(path)


def read_host(path: Path, file: str, places: Places) -> LoadedHost:
    """The host policy of a folder. Where the file is missing the packaged one holds: absence grants nothing."""
    try:
        if not os.path.lexists(path):
            data, file = resources.files("toolhost.policies").joinpath(HOST_FILE).read_bytes(), f"packaged {HOST_FILE}"
        else:
            data = read_bytes(path, file)
    except DocumentError as error:
        return LoadedHost(problems=(error.problem,))
    return load_host(data, file, places)


def policy_files(folder: Path, problems: list[Problem]) -> list[Path]:
    """The files of a folder that grant plugins something, sorted."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.suffix == ".toml" and entry.name[0] != ".")
    except OSError as error:
        problems.append(
            Problem(file=str(folder), line=1, column=1, code="file_unreadable", message=f"{error.strerror}.")
        )
        return []
    return [entry for entry in entries if entry.stem not in RESERVED]


def _not_allowed(message: str) -> UsageError:
    return UsageError("workspace_not_allowed", message, "Choose a folder of a project.")


def _unusable(path: Path, error: OSError) -> UsageError:
    quoted = shlex.quote(str(path))
    if error.errno == errno.ELOOP:
        return _not_allowed(f"{path} is or goes through a symbolic link; name the folder it leads to.")
    if error.errno == errno.ENOTDIR:
        return _not_allowed(f"{path} is not a folder.")
    if error.errno == errno.ENOENT:
        return UsageError("workspace_not_accessible", f"{path} does not exist.", f"Create it: mkdir -p {quoted}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(
            "workspace_not_accessible",
            f"The user who runs toolhost (uid {os.geteuid()}) cannot reach {path}.",
            f"Let it in: {_let_in(path)}",
        )
    return UsageError("workspace_not_accessible", f"{path} cannot be opened: {error.strerror}.")


def _let_in(path: Path) -> str:
    """The command that makes a folder reachable: passage through its parents, and the folder itself."""
    user = f"u:{os.geteuid()}"
    closed = [parent for parent in reversed(path.parents) if parent != Path("/") and not os.access(parent, os.X_OK)]
    passage = " ".join(shlex.quote(str(parent)) for parent in closed)
    through = f"setfacl -m {user}:x {passage} && " if passage else ""
    return f"{through}setfacl -R -m {user}:rwX -m d:{user}:rwX {shlex.quote(str(path))}"
