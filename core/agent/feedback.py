"""What people say of a model's answers, for administrators. No model ever sees it."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import delete, insert, select

from toolhost.identifiers import now_ms
from toolhost.storage import Database
from toolhost.storage.tables import entries, feedback, users

__all__ = ["Feedback", "Rating"]

Rating = Literal["up", "down"]

_LISTED = 500
_QUOTED = 300  # characters of an answer in the list


class Feedback:
    """The ratings of all people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rate(self, owner: str, conversation_id: str, entry_id: int, rating: Rating | None, comment: str) -> None:
        """Rate an answer, or take the rating back with None. Whether it is the owner's is the caller's question."""
        async with self._database.begin() as connection:
            await connection.execute(
                delete(feedback).where(feedback.c.entry_id == entry_id, feedback.c.user_id == owner)
            )
            if rating is not None:
                await connection.execute(
                    insert(feedback).values(
                        entry_id=entry_id,
                        user_id=owner,
                        conversation_id=conversation_id,
                        rating=rating,
                        comment=comment,
                        created=now_ms(),
                    )
                )

    async def of(self, owner: str, conversation_id: str) -> dict[int, Rating]:
        """A person's ratings in a conversation, by entry."""
        query = select(feedback.c.entry_id, feedback.c.rating).where(
            feedback.c.user_id == owner, feedback.c.conversation_id == conversation_id
        )
        async with self._database.begin() as connection:
            return {row.entry_id: row.rating for row in (await connection.execute(query)).all()}

    async def list(self) -> list[dict[str, Any]]:
        """Everybody's ratings, the newest first: for administrators."""
        query = (
            select(feedback, users.c.username, entries.c.text)
            .join(entries, entries.c.id == feedback.c.entry_id)
            .join(users, users.c.id == feedback.c.user_id)
            .order_by(feedback.c.created.desc())
            .limit(_LISTED)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            {
                "entry_id": row["entry_id"],
                "conversation_id": row["conversation_id"],
                "username": row["username"],
                "rating": row["rating"],
                "comment": row["comment"],
                "answer": row["text"][:_QUOTED],
                "created": row["created"],
            }
            for row in rows
        ]
