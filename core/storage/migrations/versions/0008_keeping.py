"""Conversations that are pinned, deleted, found and shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

# The index is SQLite's own (FTS5) and is kept by triggers: whoever writes an entry or a title need not think of it.
_WORDS = "tokenize='unicode61 remove_diacritics 2', prefix='2 3'"
_INDEX = (
    f"CREATE VIRTUAL TABLE entry_text USING fts5(text, {_WORDS})",
    f"CREATE VIRTUAL TABLE title_text USING fts5(text, conversation_id UNINDEXED, {_WORDS})",
    "INSERT INTO entry_text (rowid, text) SELECT id, text FROM entries WHERE kind IN ('user', 'assistant')",
    "INSERT INTO title_text (text, conversation_id) SELECT title, id FROM conversations",
)
_WRITTEN = "ON entries WHEN new.kind IN ('user', 'assistant')"
_TRIGGERS = (
    (f"entry_text_new AFTER INSERT {_WRITTEN}", "INSERT INTO entry_text (rowid, text) VALUES (new.id, new.text)"),
    (
        f"entry_text_changed AFTER UPDATE OF text {_WRITTEN}",
        "UPDATE entry_text SET text = new.text WHERE rowid = new.id",
    ),
    ("entry_text_gone AFTER DELETE ON entries", "DELETE FROM entry_text WHERE rowid = old.id"),
    (
        "title_text_new AFTER INSERT ON conversations",
        "INSERT INTO title_text (text, conversation_id) VALUES (new.title, new.id)",
    ),
    (
        "title_text_changed AFTER UPDATE OF title ON conversations",
        "UPDATE title_text SET text = new.title WHERE conversation_id = new.id",
    ),
    ("title_text_gone AFTER DELETE ON conversations", "DELETE FROM title_text WHERE conversation_id = old.id"),
)


def upgrade() -> None:
    """Add the columns, the table of links and the index."""
    op.add_column("conversations", sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("conversations", sa.Column("deleted", sa.BigInteger))
    op.create_table(
        "shares",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("conversation_id", sa.String, sa.ForeignKey("conversations.id"), nullable=False, index=True),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("token_hash", sa.String, nullable=False, unique=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.BigInteger),
        sa.Column("last_seen", sa.BigInteger),
        sa.Column("views", sa.Integer, nullable=False),
    )
    for statement in _INDEX:
        op.execute(sa.text(statement))
    for moment, change in _TRIGGERS:
        op.execute(sa.text(f"CREATE TRIGGER {moment} BEGIN {change}; END"))
