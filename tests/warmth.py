"""What a first start makes and every other start only reads: tool roots, and what plugins said of themselves.

Making both takes a host five seconds of the processor. Each process of the tests makes them once, and the data
directories of its servers and hosts begin with a copy; nothing else of a first start is left out.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from owners import SERVICE_USER

KEPT = ("tool-roots", "plugins")


@functools.cache
def _state() -> Path:
    """The state folder of a data directory after its first command."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-warm-", dir="/tmp"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    variables = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TOOLHOST_DATA": str(folder / "data")}
    command = [str(Path(sys.executable).parent / "toolhost"), "tools"]
    subprocess.run(command, cwd="/", env=variables, capture_output=True, timeout=180, check=True)
    return folder / "data" / "state"


def warm(data: Path) -> None:
    """Give a data directory that has no state yet what others have made before it."""
    state = data / "state"
    if state.exists():
        return
    state.mkdir(parents=True)
    for name in KEPT:
        # Links: the files of tool roots are thousands, and nobody may write them.
        subprocess.run(["cp", "-al", str(_state() / name), str(state / name)], check=True, timeout=60)
    lock = state / "tool-roots" / "lock"
    lock.unlink()
    lock.touch(0o600)
    state.chmod(0o700)
    if os.geteuid() == 0:
        for each in (data, state, lock):
            shutil.chown(each, SERVICE_USER, SERVICE_USER)
