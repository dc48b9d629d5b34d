"""The bundled plugins as their sources declare them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import tomli

from toolhost import ToolContext
from toolhost.authoring import tool_options

PLUGINS = Path(__file__).parents[1] / "plugins"
MANIFESTS: dict[str, dict[str, Any]] = {
    path.parent.name: tomli.loads(path.read_text()) for path in sorted(PLUGINS.glob("*/plugin.toml"))
}


def bundled_tools() -> dict[str, set[str]]:
    """Every tool with the names of its inputs."""
    return {f"{plugin}.{name}": inputs for plugin in MANIFESTS for name, inputs in _tools(MANIFESTS[plugin])}


def _tools(manifest: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    for table in manifest.get("tools", ()):
        yield table["name"], set(table.get("input", ()))
    if "module" in manifest:
        functions: list[Callable[..., Any]] = []
        import_module(manifest["module"]).register_tools(functions.append)
        for function in functions:
            signature = inspect.signature(function, eval_str=True)
            names = {name for name, each in signature.parameters.items() if each.annotation is not ToolContext}
            yield tool_options(function).name or function.__name__, names
