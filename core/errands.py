"""Errands: what a tool asks the host to do for it, because its own sandbox cannot.

`ctx.run("git", "status")` is one. It is awaited by an async tool, and a sync tool waits for it: `ctx.run(...).wait()`.
Nothing is asked before that. This module is imported by every plugin, so it imports next to nothing itself.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Completed", "Errand", "Errands", "OnPiece", "Piece", "Response", "Stream"]

_T = TypeVar("_T")
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
"""Codecs of Python that no page is written in; `punycode` takes hours for a few megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ran to its end, whatever its exit code.

    Attributes:
        exit_code: As it ended; None where a signal ended it.
        signal: The signal's number, or None.
        stdout_bytes: What it wrote, up to the policy's `output` limit.
        stderr_bytes: Likewise.
        duration_ms: Milliseconds.
    """

    exit_code: int | None = 0
    signal: int | None = None
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    duration_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.exit_code == 0

    @property
    def stdout(self) -> str:
        """What it wrote, as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Likewise, of its standard error."""
        return self.stderr_bytes.decode("utf-8", "replace")

    def check(self) -> Completed:
        """The same, or the tool's failure where the command did not end with exit code 0.

        Raises:
            ToolError: `command_failed`, with the last line of its standard error.
        """
        if not self.ok:
            from toolhost.authoring import ToolError

            how = f"exit code {self.exit_code}" if self.signal is None else f"signal {self.signal}"
            said = self.stderr.strip().rsplit("\n", 1)[-1]
            raise ToolError(f"The command ended with {how}." + (f" It said: {said}" if said else ""), "command_failed")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some output of a command, as it came.

    Attributes:
        stream: `stdout` or `stderr`.
        data: The bytes; a character may be cut in two.
    """

    stream: Literal["stdout", "stderr"]
    data: bytes

    @property
    def text(self) -> str:
        """The piece as text; what is no UTF-8 by itself becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answered, whatever its status.

    Attributes:
        status: The status code.
        url: Where it came from, after redirects.
        headers: Its headers, names in lower case; of several with one name, their values joined by `, `.
        body: Its bytes, decompressed.
        truncated: Whether the body was longer than fits the policy's `output` limit, and was cut.
    """

    status: int = 200
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text, by the charset it names; what cannot be decoded becomes U+FFFD."""
        _, _, charset = self.headers.get("content-type", "").lower().partition("charset=")
        name = charset.split(";")[0].strip(" \"'") or "utf-8"
        try:
            known = codecs.lookup(name).name
            if known not in _NO_CHARSETS:
                return self.body.decode(known, "replace")
        except (LookupError, ValueError):
            pass
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body's JSON value.

        Raises:
            ValueError: It is none.
        """
        import json

        return json.loads(self.body)


OnPiece = Callable[[Piece], None]


class Errands(Protocol):
    """Whoever runs errands: the host at the other end of the pipe, or a test."""

    def begin(self, kind: str, wanted: Mapping[str, Any], on_piece: OnPiece | None) -> Future[Mapping[str, Any]]:
        """Ask for one. What comes of it is the future's result; cancelling the future ends the errand.

        Args:
            kind: `run`, `fetch` or `ask`.
            wanted: What it needs, JSON values and bytes.
            on_piece: Gets output as it comes, in a thread of its own.
        """


class Errand(Generic[_T]):
    """Something asked of the host: awaited in an async tool, `.wait()` in a sync one."""

    def __init__(self, begin: Callable[[], Future[Mapping[str, Any]]], made: Callable[[Mapping[str, Any]], _T]) -> None:
        self._begin = begin
        self._made = made

    def __await__(self) -> Generator[Any, None, _T]:
        import asyncio

        answer = yield from asyncio.wrap_future(self._begin()).__await__()
        return self._made(answer)

    def wait(self) -> _T:
        """Wait in this thread: for tools that are ordinary functions.

        Raises:
            ToolError: What is asked for is denied or refused, or could not be done.
        """
        return self._made(_result(self._begin()))


class Stream:
    """A command whose output is read as it comes: `async for piece in ctx.stream(...)`, or `for` in a sync tool.

    Attributes:
        completed: How the command ended, once there is no more output; it holds no output itself.
    """

    def __init__(self, begin: Callable[[OnPiece], Future[Mapping[str, Any]]]) -> None:
        self._begin = begin
        self.completed: Completed | None = None

    async def __aiter__(self) -> AsyncIterator[Piece]:
        import asyncio

        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue()

        def put(piece: Piece | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        answer = asyncio.wrap_future(self._begin(put))
        answer.add_done_callback(lambda _: put(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            self.completed = completed(await answer)
        finally:
            answer.cancel()

    def __iter__(self) -> Iterator[Piece]:
        import queue

        pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        answer = self._begin(pieces.put)
        answer.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
            self.completed = completed(_result(answer))
        finally:
            answer.cancel()


def _result(answer: Future[Mapping[str, Any]]) -> Mapping[str, Any]:
    from concurrent.futures import CancelledError

    try:
        return answer.result()
    except CancelledError:  # an Exception, which a tool may catch; what ends a call is none
        import asyncio

        raise asyncio.CancelledError from None


def completed(answer: Mapping[str, Any]) -> Completed:
    """A command's end, from the host's answer."""
    return Completed(**answer)


def said(answer: Mapping[str, Any]) -> str:
    """A person's answer, from the host's."""
    return str(answer["text"])


def response(answer: Mapping[str, Any]) -> Response:
    """A server's answer, from the host's."""
    return Response(**answer)
