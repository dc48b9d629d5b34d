"""The bench that tests of plugins work at."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from owners import SERVICE_USER, give
from pluginbench import Bench


@pytest.fixture(scope="session")
def shared_state() -> Iterator[Path]:
    """The sandbox's state folder for all tests: copying Python's library anew for each would be most of the time."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    give(folder, SERVICE_USER)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bench(space: Path, shared_state: Path) -> Bench:
    """An empty bench with the packaged policies."""
    folder = space / "host"
    folder.mkdir()
    return Bench(folder, shared_state)
