"""Finding conversations by words of their titles and messages: SQLite's full-text index, kept by triggers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from toolhost.storage import Database

__all__ = ["LONGEST", "MATCH_END", "MATCH_START", "Found", "find"]

LONGEST = 200
"""Characters of what is looked for."""

MATCH_START, MATCH_END = "\x02", "\x03"
"""What stands around each word found in an excerpt."""

_WORDS = 8
_WORD = re.compile(r"\w+")

_MESSAGES = text(
    "SELECT c.id AS id, c.title AS title, c.updated AS updated, "
    "snippet(entry_text, 0, char(2), char(3), '…', 12) AS excerpt "
    "FROM entry_text JOIN entries AS e ON e.id = entry_text.rowid JOIN conversations AS c ON c.id = e.conversation_id "
    "WHERE entry_text MATCH :words AND c.user_id = :owner AND c.deleted IS NULL ORDER BY c.updated DESC, e.id DESC "
    "LIMIT :most"
)
_TITLES = text(
    "SELECT c.id AS id, c.title AS title, c.updated AS updated, '' AS excerpt "
    "FROM title_text JOIN conversations AS c ON c.id = title_text.conversation_id "
    "WHERE title_text MATCH :words AND c.user_id = :owner AND c.deleted IS NULL ORDER BY c.updated DESC LIMIT :most"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A conversation that was found.

    Attributes:
        id: The conversation.
        title: Its title.
        updated: Milliseconds since the epoch.
        excerpt: Part of a message, what was found between `MATCH_START` and `MATCH_END`; empty where the title matched.
    """

    id: str
    title: str
    updated: int
    excerpt: str

    def as_json(self) -> dict[str, object]:
        """The object of the API; in it `**` stands around what was found."""
        excerpt = self.excerpt.replace(MATCH_START, "**").replace(MATCH_END, "**")
        return {"id": self.id, "title": self.title, "updated": self.updated, "excerpt": excerpt}


async def find(database: Database, owner: str, words: str, *, most: int = 30) -> list[Found]:
    """The owner's conversations that hold all of the words, or their beginnings; those with them in the title first."""
    terms = [f'"{word}"*' for word in _WORD.findall(words[:LONGEST])[:_WORDS]]
    if not terms:
        return []
    found: dict[str, Found] = {}
    async with database.begin() as connection:
        for query in (_TITLES, _MESSAGES):
            values: dict[str, Any] = {"words": " ".join(terms), "owner": owner, "most": most * 4}
            for row in (await connection.execute(query, values)).mappings():
                found.setdefault(row["id"], Found(**row))
    return list(found.values())[:most]
