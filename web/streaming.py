"""A message while a model writes it: what is complete of it is rendered block by block, the rest stands as it came.

A blank line outside a block of code ends a block. Each block is rendered once, so that a message costs what its length
is and not its square; the message as a whole is rendered when it is complete, and takes the place of all this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Settling"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


@dataclass(slots=True)
class Settling:
    """The state of one message.

    Attributes:
        seq: The number of the last event that is in here.
        tail: What was not rendered yet.
    """

    seq: int = 0
    tail: str = ""
    _looked: int = 0  # how far into the tail its lines are known
    _fence: str = ""  # what ends the block of code it is in

    def feed(self, text: str) -> str:
        """Take what came; returns the Markdown of what is complete with it, or nothing."""
        self.tail += text
        end = 0
        while (stop := self.tail.find("\n", self._looked)) >= 0:
            line, self._looked = self.tail[self._looked : stop], stop + 1
            if self._line(line):
                end = self._looked
        settled, self.tail = self.tail[:end], self.tail[end:]
        self._looked -= end
        return settled

    def _line(self, line: str) -> bool:
        """Whether a block ends with this line."""
        found = _FENCE.fullmatch(line)
        if self._fence:
            if found is None or not found[1].startswith(self._fence) or found[2].strip():
                return False
            self._fence = ""
            return True
        if found is not None and not (found[1][0] == "`" and "`" in found[2]):
            self._fence = found[1]
            return False
        return not line.strip()
