"""The data directory: where everything that outlives a run is kept, and nothing else is.

state/       database, keys, audit log, prepared tool roots   (0700)
policies/    the policy files in force
plugins/     drop-in plugins
workspaces/  one folder for each conversation that has no named workspace, and one for each user's other calls
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from toolhost.errors import MachineError
from toolhost.settings import Settings

__all__ = ["SEEDED", "DataDirectory"]

SEEDED = "seeded"
"""The folder of the state with the packaged policies as they were copied into the policies folder."""


_LONGEST = 480  # bytes of its path: SQLite opens no file whose path, with its journal's ending, has more than 511


class DataDirectory:
    """The folders of one host.

    Attributes:
        settings: The settings.
        root: The data directory.
        state: Database, keys, audit log; the host's alone.
        policies: Policy files in force.
        plugins: Drop-in plugins.
        workspaces: One folder a conversation.
        audit_log: The audit log that is written.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.data
        self.state = settings.data / "state"
        self.workspaces = settings.data / "workspaces"
        self.audit_log = self.state / "audit.log"
        self.policies = settings.policies
        self.plugins = settings.plugins

    def prepare(self) -> None:
        """Create what is missing and seed the packaged policies where there is no policies folder yet.

        Raises:
            MachineError: `data_not_writable` where a folder cannot be made or used, `data_not_trusted` where others
                could put another in its place.
        """
        if len(os.fsencode(self.root)) > _LONGEST:
            raise MachineError(
                "data_not_writable",
                f"The path of the data folder has more than {_LONGEST} bytes, and SQLite keeps no database below it.",
                "Set TOOLHOST_DATA to a folder with a shorter path.",
            )
        seed = not self.policies.exists()
        for folder, mode in (
            (self.root, 0o755),
            (self.state, 0o700),
            (self.workspaces, 0o700),
            (self.plugins, 0o755),
            (self.policies, 0o755),
        ):
            try:
                folder.mkdir(mode=mode, parents=True, exist_ok=True)
            except OSError as error:
                raise self._not_writable(folder, error) from error
        for folder in (self.state, self.workspaces):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise self._not_writable(folder, PermissionError(errno.EACCES, "Permission denied"))
        for folder in (self.root, self.state, self.policies):
            status = folder.stat()
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
                named = shlex.quote(str(folder))
                raise MachineError(
                    "data_not_trusted",
                    f"Others could replace the policies, the keys and the audit log: {folder} is writable by more than "
                    "root and the user who runs toolhost.",
                    f"See that nobody did, then: chown {os.geteuid()} {named} && chmod go-w {named}",
                )
        if seed:
            self._seed_policies()

    def _seed_policies(self) -> None:
        seeded = self.state / SEEDED
        seeded.mkdir(mode=0o700, exist_ok=True)
        for source in resources.files("toolhost.policies").iterdir():
            if source.name.endswith(".toml"):
                target = self.policies / source.name
                target.write_bytes(source.read_bytes())
                target.chmod(0o644)
                shutil.copyfile(target, seeded / source.name)  # what `policy diff --shipped` compares with
        from toolhost.policy.schema import SCHEMA_FILES, schema_text  # only a new folder needs it

        for name, host in SCHEMA_FILES.items():
            (self.policies / name).write_text(schema_text(host=host))
            (self.policies / name).chmod(0o644)

    def _not_writable(self, folder: Path, error: OSError) -> MachineError:
        return MachineError(
            "data_not_writable",
            f"The data folder {folder} cannot be written: {error.strerror}.",
            f"Give it to the user who runs toolhost (uid {os.geteuid()}), or set TOOLHOST_DATA to another folder.",
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the data directory for one server; `toolhost call` beside it does not need the lock.

        Raises:
            MachineError: `data_in_use` where another server holds it.
        """
        fd = os.open(self.state / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MachineError(
                    "data_in_use",
                    f"Another toolhost server is using {self.root}.",
                    "Stop it, or give this one another folder with --data.",
                ) from None
            from toolhost.staging import remove_abandoned  # nothing else needs it

            remove_abandoned(self.state)
            yield
        finally:
            os.close(fd)

    def is_served(self) -> bool:
        """Whether a server holds the data directory now."""
        try:
            fd = os.open(self.state / "serve.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def own_workspace(self, owner: str) -> Path:
        """The workspace of a conversation or, for calls outside one, of a user; made when it is first asked for."""
        path = self.workspaces / owner
        path.mkdir(mode=0o700, exist_ok=True)
        return path
