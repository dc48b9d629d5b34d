"""Reading one policy file: safely from disk, as TOML 1.0, with the position of every key and value.

tomli decides what the file says; tree-sitter only knows where it says it, so a disagreement between the two can
misplace an error message and nothing else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli

from toolhost.policy.courtesy import breathe
from toolhost.policy.problems import Place, Problem
from toolhost.policy.quiet import DisturbedError, quiet
from toolhost.policy.syntax import deepest, explain_syntax, longest_number

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["MAX_BYTES", "Document", "DocumentError", "KeyPath", "parse_document", "read_bytes", "read_document"]

MAX_BYTES = 256 << 10
"""Size of the largest policy file that is read, bytes."""

KeyPath = tuple[str | int, ...]


class DocumentError(Exception):
    """Raised for a file that cannot be read or is no TOML.

    Attributes:
        problem: What to change, and where.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Document:
    """A parsed file.

    Attributes:
        file: The file as people know it.
        text: Its content.
        data: What it says.
    """

    def __init__(self, file: str, text: str, data: Mapping[str, Any]) -> None:
        self.file = file
        self.data = data
        self.text = text
        self._places: tuple[dict[KeyPath, Place], dict[KeyPath, Place]] | None = None

    def key(self, path: KeyPath) -> Place:
        """Where a key is written; for an item of an array, where the item is."""
        keys, values = self._located()
        return keys.get(path) or values.get(path) or self._above(path)

    def value(self, path: KeyPath) -> Place:
        """Where a value is written."""
        keys, values = self._located()
        return values.get(path) or keys.get(path) or self._above(path)

    def _above(self, path: KeyPath) -> Place:
        return self.value(path[:-1]) if path else Place(file=self.file)

    def _located(self) -> tuple[dict[KeyPath, Place], dict[KeyPath, Place]]:
        if self._places is None:
            self._places = _locate(self.file, self.text)
        return self._places


def read_document(path: Path, file: str) -> Document:
    """Read and parse a policy file.

    Args:
        path: The file.
        file: Its name in messages.

    Raises:
        DocumentError: Where it cannot be read safely or is no TOML 1.0.
    """
    return parse_document(read_bytes(path, file), file)


def read_bytes(path: Path, file: str, most: int = MAX_BYTES, *, in_force: bool = False) -> bytes:
    """The bytes of a regular file that only its owner can change, read while nobody does.

    Args:
        path: The file.
        file: Its name in messages.
        most: Bytes of the largest file that is read.
        in_force: Whether what it says holds, so that nobody may own it but root and the user who runs Toolhost.

    Raises:
        DocumentError: For a link, a folder, a device, a file others may write or somebody writes, or one that is too
            large.
    """
    start = Place(file=file)
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DocumentError(_cannot_open(start, error)) from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise DocumentError(
                Problem.at(start, "not_a_file", f"A policy must be a regular file, and this is {_kind(info.st_mode)}.")
            )
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DocumentError(
                Problem.at(
                    start,
                    "file_writable_by_others",
                    f"Others than its owner may write this file (mode {stat.S_IMODE(info.st_mode):04o}), and whoever "
                    "writes a policy decides what runs: run `chmod go-w` on it.",
                )
            )
        if in_force and info.st_uid not in (0, os.geteuid()):
            raise DocumentError(
                Problem.at(
                    start,
                    "file_owned_by_others",
                    f"This file belongs to neither root nor the user who runs toolhost, but to uid {info.st_uid}, and "
                    f"whoever writes a policy decides what runs: run `chown {os.geteuid()}` on it.",
                )
            )
        with quiet(fd), os.fdopen(fd, "rb", closefd=False) as stream:
            data = stream.read(most + 1)
    except DisturbedError:
        message = "Somebody is writing this file: it is read when they have closed it."
        raise DocumentError(Problem.at(start, "file_changing", message)) from None
    finally:
        os.close(fd)
    if len(data) > most:
        message = f"The file has more than {most >> 10} KiB, the most that is read of a policy: is it one?"
        raise DocumentError(Problem.at(start, "file_too_large", message))
    return data


def _cannot_open(start: Place, error: OSError) -> Problem:
    if error.errno == errno.ELOOP:
        message = "A policy must be a regular file, and this is a symbolic link: put the file itself here."
        return Problem.at(start, "file_is_link", message)
    return Problem.at(start, "file_unreadable", f"The file cannot be opened: {error.strerror}.")


def _kind(mode: int) -> str:
    for test, name in ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket")):
        if test(mode):
            return name
    return "a device"


def parse_document(data: bytes, file: str) -> Document:
    """Parse the bytes of a policy file.

    Raises:
        DocumentError: Where they are no TOML 1.0.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        raise DocumentError(
            Problem.at(
                Place(file=file),
                "byte_order_mark",
                "The file begins with a byte order mark, which other readers take for part of the first key: "
                "save it as UTF-8 without one.",
            )
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        place = _place_of(file, data[: error.start].decode())
        raise DocumentError(
            Problem.at(
                place,
                "not_utf8",
                f"Byte 0x{data[error.start]:02x} is no UTF-8, and TOML is nothing else: save the file as UTF-8.",
            )
        ) from None
    nul = text.find("\0")
    if nul >= 0:
        message = "A NUL character, at which other readers end the text: remove it."
        raise DocumentError(Problem.at(_place_of(file, text[:nul]), "nul_character", message))
    try:
        return Document(file, text, tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        twice = _twice(file, text)
        if twice is not None:
            raise DocumentError(twice) from None
        place = Place(file=file, line=error.lineno, column=error.colno)
        raise DocumentError(Problem.at(place, "toml_syntax", explain_syntax(error.msg, text, error.pos))) from None
    except RecursionError:
        place = _place_of(file, text[: deepest(text)])
        message = "Arrays and tables are nested too deeply here; nothing in a policy has more than three levels."
        raise DocumentError(Problem.at(place, "toml_syntax", message)) from None
    except ValueError:  # more digits than Python converts
        place = _place_of(file, text[: longest_number(text)])
        message = 'This number has too many digits; write a limit with its unit, such as "512M".'
        raise DocumentError(Problem.at(place, "toml_syntax", message)) from None


def _place_of(file: str, before: str) -> Place:
    line = before.count("\n") + 1
    return Place(file=file, line=line, column=len(before) - (before.rfind("\n") + 1) + 1)


# -- positions ---------------------------------------------------------------------------------------------------------


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_toml

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))


def _twice(file: str, text: str) -> Problem | None:
    """The first key or table that stands a second time; tomli says so without a place of use to people."""
    found: list[tuple[str, Place, Place]] = []
    _locate(file, text, found)
    for name, first, second in found:
        message = f"`{name}` stands here for the second time; the first is on line {first.line}."
        return Problem.at(second, "duplicate_key", message)
    return None


def _locate(
    file: str, text: str, twice: list[tuple[str, Place, Place]] | None = None
) -> tuple[dict[KeyPath, Place], dict[KeyPath, Place]]:
    """Positions of keys and of values, by path. Array items are numbered from 0.

    Args:
        file: The file's name.
        text: Its content.
        twice: Is given each key or table that stands a second time, with both places.
    """
    lines = text.encode().split(b"\n")
    keys: dict[KeyPath, Place] = {}
    values: dict[KeyPath, Place] = {}
    twice = [] if twice is None else twice
    counts: dict[KeyPath, int] = {}

    def place(node: Node) -> Place:
        row, column = node.start_point
        return Place(file=file, line=row + 1, column=len(lines[row][:column].decode(errors="replace")) + 1)

    def pair(node: Node, base: KeyPath) -> None:
        parts = [child for child in node.named_children if child.type != "comment"]
        if len(parts) != 2:
            return
        path = base
        for leaf in _leaves(parts[0]):
            path = (*path, _key_text(leaf))
            keys.setdefault(path, place(leaf))
        if path in values:
            twice.append((str(path[-1]), values[path], place(parts[0])))
        value(parts[1], path)

    def value(node: Node, path: KeyPath) -> None:
        breathe()
        values.setdefault(path, place(node))
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "array":
            for number, child in enumerate(children):
                value(child, (*path, number))
        elif node.type == "inline_table":
            for child in children:
                pair(child, path)

    def header(node: Node) -> tuple[list[Node], KeyPath]:
        """The key leaves of a table's header and the path above its last key."""
        first = next(child for child in node.named_children if child.type != "comment")
        leaves = list(_leaves(first))
        path: KeyPath = ()
        for leaf in leaves[:-1]:
            path = (*path, _key_text(leaf))
            if path in counts:  # a key under an array of tables means its latest table
                path = (*path, counts[path] - 1)
        return leaves, path

    for node in _parser().parse(text.encode()).root_node.named_children:
        if node.type == "pair":
            pair(node, ())
        elif node.type in ("table", "table_array_element"):
            leaves, above = header(node)
            if not leaves:
                continue  # `[a, "b"]`, which is no TOML
            path: KeyPath = (*above, _key_text(leaves[-1]))
            keys.setdefault(path, place(leaves[0]))
            if node.type == "table_array_element":
                number = counts.get(path, 0)
                counts[path] = number + 1
                path = (*path, number)
            elif path in counts:
                path = (*path, counts[path] - 1)
            elif path in values:
                twice.append((str(path[-1]), values[path], place(leaves[0])))
            values.setdefault(path, place(leaves[0]))
            for child in node.named_children:
                if child.type == "pair":
                    pair(child, path)
    return keys, values


def _leaves(node: Node) -> Iterator[Node]:
    if node.type == "dotted_key":
        for child in node.named_children:
            yield from _leaves(child)
    elif node.type in ("bare_key", "quoted_key"):
        yield node


def _key_text(node: Node) -> str:
    text = (node.text or b"").decode()
    if node.type == "bare_key":
        return text
    return next(iter(tomli.loads(f"{text} = 0")))
