"""The plugin's module, loaded: its tools and its facts, as its hooks declare them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import pluggy

from toolhost import hookspecs
from toolhost.authoring import ChangeKind, Toolbox, ToolContext, ToolError, is_tool, tool_options

__all__ = ["DeclaredTool", "Plugin", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTool:
    """A function that is a tool.

    Attributes:
        name: Without the plugin's name.
        about: What it says it does; may be empty.
        function: The function.
        hints: Its resolved annotations, `return` included.
        context: Name of the parameter that takes the ToolContext, or None.
        is_async: Whether calling it gives a coroutine.
        said: The hints that its author gives.
        change: How it changes files, or None.
        toolbox: What it is a method of, or None.
    """

    name: str
    about: str
    function: Callable[..., Any]
    hints: Mapping[str, Any]
    context: str | None
    is_async: bool
    said: Mapping[str, bool] = field(default_factory=dict)
    change: ChangeKind | None = None
    toolbox: Toolbox | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A loaded plugin."""

    tools: Mapping[str, DeclaredTool]
    info: Mapping[str, Any] | None


def load(module: str) -> Plugin:
    """Import the plugin's module and run its registration hooks.

    Raises:
        ToolError: `plugin_has_no_tools`, `duplicate_tool`, `invalid_tool`.
        BaseException: Whatever the plugin's own code raises.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    loaded = importlib.import_module(module)
    manager.register(loaded)
    for caller in manager.get_hookcallers(loaded) or ():
        if caller.name not in hookspecs.WORKER_HOOKS:
            raise ToolError(f"The hook {caller.name} is for trusted extensions, not for plugins.", "invalid_hook")
    tools: dict[str, DeclaredTool] = {}

    def register(function: Callable[..., Any] | Toolbox, /, *, name: str | None = None) -> None:
        if isinstance(function, Toolbox):
            for method in _methods(function):
                register(method)
            return
        declared = _declare(function, name)
        if declared.name in tools:
            raise ToolError(f"Two tools are named {declared.name!r}.", "duplicate_tool")
        tools[declared.name] = declared

    manager.hook.register_tools(register=register)
    if not tools:
        raise ToolError(
            f"The module {module} registers no tools; implement the hook register_tools.", "plugin_has_no_tools"
        )
    facts = manager.hook.plugin_info()
    return Plugin(tools=tools, info=facts[0] if facts else None)


def _methods(box: Toolbox) -> list[Callable[..., Any]]:
    """The methods of a toolbox that are marked as tools, in the order they are written in."""
    found = {name: None for base in reversed(type(box).__mro__) for name in vars(base)}
    methods = [getattr(box, name) for name in found if is_tool(getattr(type(box), name, None))]
    if not methods:
        raise ToolError(f"The toolbox {type(box).__name__} has no method marked with @tool.", "invalid_tool")
    return methods


def _declare(function: object, name: str | None) -> DeclaredTool:
    if not callable(function):
        raise ToolError(f"register() takes a function, not {type(function).__name__}.", "invalid_tool")
    options = tool_options(function)
    own_name = str(name or options.name or getattr(function, "__name__", ""))
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ToolError(f"The annotations of {own_name} cannot be read: {error}.", "invalid_tool") from error
    about = options.about or (inspect.getdoc(function) or "").split("\n\n", 1)[0]
    return DeclaredTool(
        name=own_name,
        about=" ".join(about.split()),
        function=function,
        hints=hints,
        context=next((key for key, hint in hints.items() if hint is ToolContext), None),
        is_async=inspect.iscoroutinefunction(function),
        said=options.hints,
        change=options.change,
        toolbox=box if isinstance(box := getattr(function, "__self__", None), Toolbox) else None,
    )
