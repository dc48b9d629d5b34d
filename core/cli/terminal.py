"""Text that others wrote, on its way to a terminal.

A terminal obeys what is printed to it: an argument or an output with escape sequences could redraw an approval prompt
(CVE-2023-28446, CVE-2023-28101). So what goes to a terminal shows such characters instead of sending them.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import termios
from typing import TextIO

from toolhost.shown import MARKS, shown

__all__ = ["StreamPrinter", "abandon", "confirm", "interactive", "safe", "typed"]


def safe(text: str, keep: str = "\t\n") -> str:
    """The text with every character that a terminal would obey or hide written out; see `toolhost.shown`.

    Args:
        text: Anything.
        keep: Control characters that are wanted.
    """
    return shown(text, keep + MARKS)  # of what was written out already nothing is written out again


class StreamPrinter:
    """Prints a tool's output as it comes: untouched into a pipe or a file, made safe on a terminal."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        # A character may be cut in two by the chunks it comes in.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if target.isatty() else None

    def write(self, data: bytes) -> None:
        """Print one chunk, at once."""
        if self._decoder is None:
            self._target.buffer.write(data)
        else:
            self._target.write(safe(self._decoder.decode(data)))
        self._target.flush()


def abandon(target: TextIO) -> None:
    """Send what is still printed nowhere: its reader has gone, and the interpreter would complain while it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, target.fileno())
    os.close(nowhere)


def interactive() -> bool:
    """Whether a person is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def confirm(question: str) -> bool:
    """Ask the person at the terminal. Only a yes is a yes; it must be typed after the question was shown."""
    return (await typed(question)).lower() in ("y", "yes")


async def typed(prompt: str) -> str:
    """One line that the person at the terminal types after the prompt was shown."""
    stdin = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        loop.remove_reader(stdin)
        if not answered.done():
            answered.set_result(os.read(stdin, 4096))

    termios.tcflush(stdin, termios.TCIFLUSH)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    # Not a thread with input(): that could not be cancelled, and Ctrl-C would wait for the Enter key.
    loop.add_reader(stdin, read)
    try:
        return (await answered).decode("utf-8", "replace").strip()
    finally:
        loop.remove_reader(stdin)
