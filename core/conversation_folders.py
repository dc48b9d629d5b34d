"""Which folder the calls of a conversation work in: the conversation's own, or a named one of `host.toml`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from toolhost.data import DataDirectory
from toolhost.errors import UsageError
from toolhost.model import Actor
from toolhost.policy import PolicyStore
from toolhost.storage import Database
from toolhost.storage.tables import conversations

__all__ = ["ConversationFolders"]

_REMEMBERED = 4096  # conversations of which the workspace's name is known without looking


class ConversationFolders:
    """Finds the folder of a conversation, for its owner only."""

    def __init__(self, database: Database, data: DataDirectory, policies: PolicyStore) -> None:
        self._database = database
        self._data = data
        self._policies = policies
        self._names: dict[tuple[str, str], str | None] = {}

    async def find(self, conversation_id: str, actor: Actor) -> tuple[Path, bool]:
        """The folder of one of the actor's conversations, and whether it may be written.

        Raises:
            UsageError: `conversation_not_found`, `workspace_not_allowed`.
        """
        name = await self._name(conversation_id, actor)
        if name is None:
            return self._data.own_workspace(conversation_id), True
        named = self._policies.current.host.workspaces.get(name)
        if named is None or actor.role not in named.who:
            raise UsageError(
                "workspace_not_allowed",
                f"The workspace {name!r} of this conversation is not open to you any more.",
                "Ask an administrator to change [workspaces] in host.toml, or start a new conversation.",
            )
        return Path(named.path), named.write

    def is_own(self, folder: Path, conversation_id: str) -> bool:
        """Whether a folder is the one that a conversation was given: only its calls write there."""
        return folder == self._data.workspaces / conversation_id

    def forget(self, conversation_id: str) -> None:
        """Look a conversation up anew with its next call: it was deleted."""
        for key in [key for key in self._names if key[1] == conversation_id]:
            del self._names[key]

    async def _name(self, conversation_id: str, actor: Actor) -> str | None:
        """The name of its workspace, None for its own. It never changes, so one look serves all calls."""
        key = (actor.user_id, conversation_id)
        if key not in self._names:
            query = select(conversations.c.workspace).where(
                conversations.c.id == conversation_id,
                conversations.c.user_id == actor.user_id,
                conversations.c.deleted.is_(None),
            )
            async with self._database.begin() as connection:
                row = (await connection.execute(query)).first()
            if row is None:
                raise UsageError("conversation_not_found", "There is no such conversation among yours.")
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._names[key] = row[0]
        return self._names[key]
