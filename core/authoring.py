"""Writing tools in Python: a typed function with a docstring is a tool.

This module is imported by every plugin at every start of its worker, so it imports next to nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["ReadPath", "ToolContext", "ToolError", "ToolOptions", "ToolOutput", "WritePath", "tool", "tool_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS = "__toolhost_tool__"


class _CheckedPath(str):
    """A path that the host checks against the policy's roots before the call."""

    __slots__ = ()
    _format: ClassVar[str]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(min_length=1), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "format": cls._format}


class ReadPath(_CheckedPath):
    """A path the tool reads: the host refuses the call unless it lies in a readable root. Use it as any `str` path."""

    __slots__ = ()
    _format = "read-path"


class WritePath(_CheckedPath):
    """A path the tool writes: the host refuses the call unless it lies in a writable root. Use it as any `str` path."""

    __slots__ = ()
    _format = "write-path"


class ToolError(Exception):
    """Raised by a tool to say what went wrong; the caller sees exactly this, and no traceback.

    Attributes:
        message: One sentence: what happened and what to do instead.
        code: Stable lower_snake code.
        recoverable: Whether the caller can do better by asking differently.
    """

    def __init__(self, message: str, code: str = "tool_failed", recoverable: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.recoverable = recoverable


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """A result with both a text for people and a value for programs.

    Attributes:
        text: Shown as it is, or None.
        data: Any value JSON can express, dataclasses and pydantic models included, or None.
    """

    text: str | None = None
    data: Any = None


class ToolContext:
    """The call a tool is serving. A tool gets one by having a parameter of this type.

    Args:
        tool: The tool's name without its plugin's.
        send: Takes the messages for the host; without one they are dropped, which is enough for a unit test.
        is_cancelled: Says whether the caller has given up.
        secrets: What each secret holds, by name.
    """

    __slots__ = ("_is_cancelled", "_secrets", "_send", "tool")

    def __init__(
        self,
        tool: str = "",
        *,
        send: Callable[[Mapping[str, Any]], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self.tool = tool
        self._send = send
        self._is_cancelled = is_cancelled
        self._secrets = {} if secrets is None else secrets

    def log(self, message: str, level: str = "INFO") -> None:
        """Add a line to the call's log, which is shown with the result."""
        self._emit({"op": "log", "level": str(level), "text": str(message)})

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the call is.

        Args:
            done: How much is done, in any unit.
            total: How much there is in the same unit, or None where that is unknown.
            message: What is being done.
        """
        self._emit({"op": "progress", "done": done, "total": total, "message": str(message)})

    def check(self) -> None:
        """Stop here if the caller has given up. A sync tool that runs long calls this in its loop.

        Raises:
            asyncio.CancelledError: If the call was cancelled; let it pass.
        """
        if self._is_cancelled is not None and self._is_cancelled():
            import asyncio

            raise asyncio.CancelledError

    def secret(self, name: str) -> str:
        """What a secret of `[secrets]` in the plugin's policy holds, without the line end of its file.

        Args:
            name: Its name there.

        Raises:
            ToolError: `secret_not_granted` where the policy names no such secret; let it pass.
        """
        if name not in self._secrets:
            raise ToolError(
                f"The policy gives this plugin no secret {name!r}: an administrator can add it to [secrets].",
                "secret_not_granted",
                False,
            )
        return self._secrets[name]

    def _emit(self, message: Mapping[str, Any]) -> None:
        if self._send is not None:
            self._send(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """What `@tool(...)` says beyond the function itself; None where the function decides.

    Attributes:
        name: The tool's name.
        about: One sentence.
    """

    name: str | None = None
    about: str | None = None


@overload
def tool(function: _Function, /) -> _Function: ...
@overload
def tool(*, name: str | None = None, about: str | None = None) -> Callable[[_Function], _Function]: ...
def tool(
    function: _Function | None = None, /, *, name: str | None = None, about: str | None = None
) -> _Function | Callable[[_Function], _Function]:
    """Mark a function as a tool; it stays an ordinary function.

    The name, the description and the JSON Schema of the arguments come from the function: its name, its docstring (an
    `Args:` section describes the parameters) and its annotations.

    Args:
        function: The function, when used without parentheses.
        name: The tool's name, if not the function's.
        about: One sentence, if not the docstring's first paragraph.
    """

    def mark(marked: _Function) -> _Function:
        setattr(marked, _OPTIONS, ToolOptions(name=name, about=about))
        return marked

    return mark if function is None else mark(function)


def tool_options(function: Callable[..., Any]) -> ToolOptions:
    """What `@tool` said of a function; the defaults for a function without it."""
    options = getattr(function, _OPTIONS, None)
    return options if isinstance(options, ToolOptions) else ToolOptions()
