"""Tests of bundled plugins as an author writes them: with `toolhost.testing`, as a user who is not root.

Where the tests run as root these run in a process of the service user's (test_new_plugin.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from toolhost.testing import PluginHost

collect_ignore_glob = ["test_*.py"] if os.geteuid() == 0 else []


@pytest.fixture(autouse=True)
def _works(request: pytest.FixtureRequest, host: PluginHost) -> Iterator[None]:
    """What a test says that works in it has to."""
    before = len(host.calls)
    yield
    mark = request.node.get_closest_marker("works")
    worked = {call.tool for call in host.calls[before:] if call.result.status == "ok"}
    assert set(mark.args if mark else ()) <= worked
