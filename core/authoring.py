"""Writing tools in Python: a typed function with a docstring is a tool.

This module is imported by every plugin at every start of its worker, so it imports next to nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from toolhost.errands import Completed, Errand, Errands, OnPiece, Response, Stream, completed, response, said

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "ChangeKind",
    "ReadPath",
    "ToolContext",
    "ToolError",
    "ToolOptions",
    "ToolOutput",
    "Toolbox",
    "WritePath",
    "is_tool",
    "tool",
    "tool_options",
]

ChangeKind = Literal["write", "edit", "patch", "move", "delete", "undo"]
"""How a tool changes files, so that a person who is asked can be shown what would change."""

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
    """A result of several parts: a text for people, a value for programs, files.

    Attributes:
        text: Shown as it is, or None.
        data: Any value JSON can express, dataclasses and pydantic models included, or None.
        files: Paths of files in the workspace, up to 32; images among them are shown.
    """

    text: str | None = None
    data: Any = None
    files: Sequence[str | os.PathLike[str]] = ()


class ToolContext:
    """The call a tool is serving. A tool gets one by having a parameter of this type.

    Args:
        tool: The tool's name without its plugin's.
        send: Takes the messages for the host; without one they are dropped, which is enough for a unit test.
        is_cancelled: Says whether the caller has given up.
        secrets: What each secret holds, by name.
        errands: Runs commands and fetches for the tool; without one each is a `ToolError`.
        config: The plugin's settings, by name.

    Attributes:
        tool: The tool's name without its plugin's.
        config: What `[config]` of the plugin's policy sets, and the defaults of `plugin.toml` for the rest.
    """

    __slots__ = ("_errands", "_is_cancelled", "_secrets", "_send", "config", "tool")

    def __init__(
        self,
        tool: str = "",
        *,
        send: Callable[[Mapping[str, Any]], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        secrets: Mapping[str, str] | None = None,
        errands: Errands | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.tool = tool
        self.config: Mapping[str, Any] = {} if config is None else config
        self._errands = errands
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

    def run(
        self, *command: str, stdin: str | bytes = b"", cwd: str = "", timeout: float | None = None
    ) -> Errand[Completed]:
        """Run a command that `[commands]` of the plugin's policy allows, in a sandbox of its own.

        `await ctx.run("git", "status")` in an async tool, `ctx.run("git", "status").wait()` in a sync one. Where the
        policy asks, a person is asked for exactly this command while the tool waits.

        Args:
            command: The program and its arguments, each one word: there is no shell.
            stdin: What it reads on standard input.
            cwd: Where it starts: a folder within a root, absolute or relative to the workspace; by default the latter.
            timeout: Seconds, where it is to have less than the policy's `wall`.

        Raises:
            ToolError: It may not run, was refused, or went over a limit; let it pass, or say what to do instead.
        """
        wanted = _command(command, stdin, cwd, timeout)
        return Errand(lambda: self._begin("run", wanted), completed)

    def stream(self, *command: str, stdin: str | bytes = b"", cwd: str = "", timeout: float | None = None) -> Stream:
        """The same, its output as it comes: `async for piece in ctx.stream(...)`, or `for` in a sync tool."""
        wanted = _command(command, stdin, cwd, timeout)
        return Stream(lambda on_piece: self._begin("run", wanted, on_piece))

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | bytes = b"",
        timeout: float | None = None,
    ) -> Errand[Response]:
        """Fetch from a server that `[network]` of the plugin's policy allows; redirects are followed within that.

        Args:
            url: An http or https address. Secrets belong into headers: a URL is written down.
            method: The HTTP method.
            headers: Request headers.
            body: What is sent.
            timeout: Seconds, where it is to have less than the policy's `wall`.

        Raises:
            ToolError: The server may not be reached, or did not answer.
        """
        wanted = {
            "url": url,
            "method": method,
            "headers": {} if headers is None else dict(headers),
            "body": body.encode() if isinstance(body, str) else bytes(body),
            "timeout": timeout,
        }
        return Errand(lambda: self._begin("fetch", wanted), response)

    def ask(self, question: str, choices: Sequence[str] | None = None) -> Errand[str]:
        """Ask the person whose call this is. They see that it is the plugin that asks, and may say nothing.

        `await ctx.ask("Which branch?", ["main", "next"])` in an async tool, `.wait()` in a sync one. The time until
        they answer is not the tool's. Never ask for a password: what is asked and answered is recorded.

        Args:
            question: Up to 4000 characters of plain text.
            choices: What can be answered, up to twenty; None for any text.

        Raises:
            ToolError: `nobody_to_ask` where a program made the call, `inquiry_declined`, `inquiry_expired` after ten
                minutes; let it pass, or do without.
        """
        wanted = {"question": str(question), "choices": None if choices is None else [str(one) for one in choices]}
        return Errand(lambda: self._begin("ask", wanted), said)

    def _begin(
        self, kind: str, wanted: Mapping[str, Any], on_piece: OnPiece | None = None
    ) -> Future[Mapping[str, Any]]:
        if self._errands is None:
            raise ToolError(f"ctx.{kind} needs a host, and there is none: give ToolContext(errands=...).", "no_host")
        return self._errands.begin(kind, wanted, on_piece)

    def _emit(self, message: Mapping[str, Any]) -> None:
        if self._send is not None:
            self._send(message)


def _command(command: tuple[str, ...], stdin: str | bytes, cwd: str, timeout: float | None) -> dict[str, Any]:
    data = stdin.encode() if isinstance(stdin, str) else bytes(stdin)
    return {"argv": [str(word) for word in command], "stdin": data, "cwd": str(cwd), "timeout": timeout}


class Toolbox:
    """Tools that share something: each method that is marked with `@tool` is one. `register(MyToolbox())`.

    One object serves every call of its worker, several at once; a worker that is idle is ended, and another one begins
    anew.
    """

    def prepare(self) -> Awaitable[None] | None:
        """Called once before the first call of any of its tools; may be async. What it raises fails the call."""
        return None

    def close(self) -> Awaitable[None] | None:
        """Called when its worker is ended in peace, which is not promised: it may also be killed. May be async."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """What `@tool(...)` says beyond the function itself; None where the function decides.

    Attributes:
        name: The tool's name.
        about: One sentence.
        hints: What the author says of the tool: `readOnlyHint`, `destructiveHint`, `openWorldHint`.
        change: How it changes files as its arguments say, or None.
    """

    name: str | None = None
    about: str | None = None
    hints: Mapping[str, bool] = field(default_factory=dict)
    change: ChangeKind | None = None


@overload
def tool(function: _Function, /) -> _Function: ...
@overload
def tool(
    *,
    name: str | None = None,
    about: str | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    open_world: bool | None = None,
    change: ChangeKind | None = None,
) -> Callable[[_Function], _Function]: ...
def tool(
    function: _Function | None = None,
    /,
    *,
    name: str | None = None,
    about: str | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    open_world: bool | None = None,
    change: ChangeKind | None = None,
) -> _Function | Callable[[_Function], _Function]:
    """Mark a function as a tool; it stays an ordinary function.

    The name, the description and the JSON Schema of the arguments come from the function: its name, its docstring (an
    `Args:` section describes the parameters) and its annotations.

    Args:
        function: The function, when used without parentheses.
        name: The tool's name, if not the function's.
        about: One sentence, if not the docstring's first paragraph.
        read_only: That it changes nothing. What is said here must be what the policy makes of it, or the plugin is not
            loaded; said or not, what is shown follows from the policy.
        destructive: That it may change or remove what is there.
        open_world: That it reaches other machines.
        change: That it changes files exactly as its arguments say, so that whoever is asked sees the change as a diff.
            The arguments have fixed names: `path` and `content` (and `append`) for `write`; `path`, `old` and `new`
            (and `every`) for `edit`; `diff` for `patch`; `path` for `delete`.
    """
    said = {"readOnlyHint": read_only, "destructiveHint": destructive, "openWorldHint": open_world}
    hints = {hint: value for hint, value in said.items() if value is not None}

    def mark(marked: _Function) -> _Function:
        setattr(marked, _OPTIONS, ToolOptions(name=name, about=about, hints=hints, change=change))
        return marked

    return mark if function is None else mark(function)


def is_tool(function: object) -> bool:
    """Whether a function is marked with `@tool`."""
    return isinstance(getattr(function, _OPTIONS, None), ToolOptions)


def tool_options(function: Callable[..., Any]) -> ToolOptions:
    """What `@tool` said of a function; the defaults for a function without it."""
    options = getattr(function, _OPTIONS, None)
    return options if isinstance(options, ToolOptions) else ToolOptions()
