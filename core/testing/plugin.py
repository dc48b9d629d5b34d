"""What pytest gets from toolhost: the fixture `toolhost_host`, and the option `--toolhost-attack`.

Loaded by every pytest of an environment that has toolhost, so it imports nothing of the host until that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from toolhost.testing import PluginHost

__all__ = ["pytest_addoption", "pytest_configure", "toolhost_host"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--toolhost-attack",
        metavar="FOLDER",
        nargs="?",
        const="",
        help="Try the plugin of a folder (default: the one below the root folder) under its own policy: hostile "
        "arguments, paths that lead out, links. Only that is run.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where the option is given, the battery is what is collected."""
    if config.getoption("--toolhost-attack") is not None:
        config.args = [str(Path(__file__).with_name("battery.py"))]


@pytest.fixture
def toolhost_host() -> Iterator[Callable[..., PluginHost]]:
    """Makes hosts for one test; takes what `toolhost.testing.make_host` takes."""
    from toolhost.testing import make_host

    with ExitStack() as stack:

        def make(**arguments: Any) -> PluginHost:
            return stack.enter_context(make_host(**arguments))

        yield make
