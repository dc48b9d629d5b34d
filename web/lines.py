"""A long output in blocks of lines, so that a browser need not lay out what nobody looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolhost.web.live import Chunk

__all__ = ["blocks"]

_LINES = 100


def blocks(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """The same output in blocks. Each but the last ends where a line does, so that no line is broken between two."""
    found: list[list[Chunk]] = []
    block: list[Chunk] = []
    lines = 0
    for chunk in _joined(chunks):
        at = 0
        while at < len(chunk.text):
            stop = at
            while lines < _LINES and (end := chunk.text.find("\n", stop)) >= 0:
                stop, lines = end + 1, lines + 1
            if lines < _LINES:
                stop = len(chunk.text)
            block.append(Chunk(chunk.stream, chunk.text[at:stop]))
            at = stop
            if lines == _LINES:
                found.append(block)
                block, lines = [], 0
    return [*found, block] if block else found


def _joined(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Pieces of one stream that follow one another as one."""
    texts: list[str] = []
    for number, chunk in enumerate(chunks):
        texts.append(chunk.text)
        if number + 1 == len(chunks) or chunks[number + 1].stream != chunk.stream:
            yield Chunk(chunk.stream, "".join(texts))
            texts.clear()
