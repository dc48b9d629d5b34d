"""What a first start makes and every other start only reads: tool roots, and what plugins said of themselves.

Making both takes a host five seconds of the processor. A run of the tests makes them once, and the data directories of
its servers, hosts and commands begin with a copy; nothing else of a first start is left out. Of the tool roots of
Python plugins, each of which has the whole library of Python, only that of `files` is copied: the others are made
where a test needs them.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from owners import SERVICE_USER

KEPT = ("tool-roots", "plugins")
RUN = "TESTS_OF_TOOLHOST"
"""The variable with this run's folder, which its worker processes share; by its name no setting of a host."""


def begin() -> None:
    """Name the folder of this run, before any worker process begins."""
    os.environ.setdefault(RUN, f"/tmp/toolhost-tests-{os.getpid()}")


def end() -> None:
    """Remove it."""
    shutil.rmtree(os.environ.pop(RUN), ignore_errors=True)


@functools.cache
def first_data() -> Path:
    """A data directory after its first command."""
    if RUN not in os.environ:  # no run of pytest
        begin()
        atexit.register(end)
    folder = Path(os.environ[RUN])
    folder.mkdir(mode=0o755, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            variables = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TOOLHOST_DATA": f"{folder}/data"}
            command = [str(Path(sys.executable).parent / "toolhost"), "tools"]
            subprocess.run(command, cwd="/", env=variables, capture_output=True, timeout=180, check=True)
            for tree in (folder / "data/state/tool-roots/trees").iterdir():
                if [plugin.name for plugin in tree.rglob("plugins/*/plugin.toml") if plugin.parent.name != "files"]:
                    shutil.rmtree(tree)
            (folder / "made").touch()
    return folder / "data"


def copy_first(data: Path) -> None:
    """Make a data directory in which nothing has been called yet, and everything else is as after a first command."""
    # Links for the thousands of read-only files of the tool roots, copies of what is written.
    subprocess.run(["cp", "-al", str(first_data()), str(data)], check=True, timeout=60)
    for written in ("state/toolhost.db", "state/audit.log", "state/security.log"):
        (data / written).unlink(missing_ok=True)
        if (first_data() / written).exists():
            subprocess.run(["cp", "-a", str(first_data() / written), str(data / written)], check=True, timeout=60)


def warm(data: Path) -> None:
    """Give a data directory that has no state yet what others have made before it."""
    state = data / "state"
    if state.exists():
        return
    state.mkdir(parents=True)
    for name in KEPT:
        subprocess.run(["cp", "-al", str(first_data() / "state" / name), str(state / name)], check=True, timeout=60)
    lock = state / "tool-roots" / "lock"
    lock.unlink()
    lock.touch(0o600)
    state.chmod(0o700)
    if os.geteuid() == 0:
        for each in (data, state, lock):
            shutil.chown(each, SERVICE_USER, SERVICE_USER)
