"""The hooks a plugin can implement.

Host and worker use the same specifications: the host registers a proxy for each plugin, which answers from what the
plugin declared; the plugin's own module is registered only inside its sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pluggy

__all__ = ["PROJECT", "Register", "hookimpl", "hookspec", "plugin_info", "register_tools"]

PROJECT = "toolhost"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """What `register_tools` is given."""

    def __call__(self, tool: Callable[..., Any], /, *, name: str | None = None) -> None:
        """Declare one tool.

        Args:
            tool: A typed function with a docstring, sync or async.
            name: The tool's name, if it is not the function's.
        """


@hookspec
def plugin_info() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Static facts: `name`, `version`, and optionally `homepage`.

    Called once at each load, in the plugin's sandbox. `name` and `version`, where given, must be the manifest's:
    anything else quarantines the plugin, and so does an exception.
    """


@hookspec
def register_tools(register: Register) -> None:
    """Declare the plugin's tools: `register(function)` for each.

    Called once at each load, in the plugin's sandbox, before any call. An exception, a tool that cannot be described or
    two tools of one name quarantine the plugin; other plugins are unaffected.
    """
