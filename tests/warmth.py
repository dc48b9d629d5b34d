"""What a first start makes and every other start only reads: tool roots, what plugins said of themselves, empty tables.

Making them takes a host six seconds of the processor. A run of the tests makes them once, and the data directories of
its servers, hosts and commands begin with a copy; nothing else of a first start is left out. The tool roots, which are
thousands of files, are those of all: hosts are made to use one folder beside each other, and hold what they use.
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

from owners import SERVICE_USER, give

EMPTY = "toolhost.db"
RUN = "TESTS_OF_TOOLHOST"
"""The variable with this run's folder, which its worker processes share; by its name no setting of a host."""
TABLES = """
import asyncio, pathlib, sys
from toolhost.storage import Database

async def make():
    await (await Database.open(pathlib.Path(sys.argv[1]))).close()

asyncio.run(make())
"""


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
            roots = folder / "data/state/tool-roots"
            roots.rename(folder / "tool-roots")
            roots.symlink_to(folder / "tool-roots")
            give(roots, SERVICE_USER)
            subprocess.run([sys.executable, "-c", TABLES, str(folder / EMPTY)], check=True, timeout=60)
            give(folder / EMPTY, SERVICE_USER)
            (folder / "made").touch()
    return folder / "data"


def copy_first(data: Path) -> None:
    """Make a data directory in which nothing has been called yet, and everything else is as after a first command."""
    subprocess.run(["cp", "-a", str(first_data()), str(data)], check=True, timeout=60)


def warm(data: Path) -> None:
    """Give a data directory that has no state yet what others have made before it."""
    state = data / "state"
    if state.exists():
        return
    state.mkdir(parents=True, mode=0o700)
    kept = (first_data() / "state" / "tool-roots", first_data() / "state" / "plugins", first_data().parent / EMPTY)
    subprocess.run(["cp", "-a", *map(str, kept), str(state)], check=True, timeout=60)
    if os.geteuid() == 0:
        for each in (data, state):
            shutil.chown(each, SERVICE_USER, SERVICE_USER)
