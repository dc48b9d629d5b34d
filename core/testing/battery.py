"""What `pytest --toolhost-attack` collects: a test for each kind of attack on the plugin. See `attack.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from toolhost.errors import UsageError
from toolhost.testing.attack import KINDS, Siege, besieged
from toolhost.testing.places import plugin_folder

__all__ = ["siege", "test_no_tool_tells_what_is_outside_or_changes_it"]


@pytest.fixture(scope="module")
def siege(request: pytest.FixtureRequest) -> Iterator[Siege]:
    """A host with the plugin, granted what it asks for."""
    try:
        folder = plugin_folder(request.config.getoption("--toolhost-attack") or request.config.rootpath)
    except UsageError as error:
        pytest.fail(f"{error.message} {error.hint}", pytrace=False)
    with besieged(folder) as ready:
        yield ready


@pytest.mark.parametrize("kind", KINDS)
def test_no_tool_tells_what_is_outside_or_changes_it(siege: Siege, kind: str) -> None:
    """Whatever a tool is asked, it tells and changes nothing that its policy does not grant."""
    assert siege.host.tools, "the policy grants no tool"
    assert list(siege.attempt(kind)) == []
