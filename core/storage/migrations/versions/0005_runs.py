"""Conversations become trees, runs are written down, and answers can be rated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables; what a conversation held becomes its one branch."""
    op.add_column("conversations", sa.Column("model", sa.String))
    op.add_column("conversations", sa.Column("profile", sa.String))
    op.add_column("conversations", sa.Column("head", sa.Integer))
    op.add_column("entries", sa.Column("data", sa.Text))
    op.add_column("entries", sa.Column("parent_id", sa.Integer))
    op.execute(
        "UPDATE entries SET parent_id = (SELECT max(earlier.id) FROM entries AS earlier"
        " WHERE earlier.conversation_id = entries.conversation_id AND earlier.id < entries.id)"
    )
    op.execute("UPDATE conversations SET head = (SELECT max(id) FROM entries WHERE conversation_id = conversations.id)")
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, nullable=False, index=True),
        sa.Column("conversation_id", sa.String, sa.ForeignKey("conversations.id"), nullable=False, index=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("profile", sa.String),
        sa.Column("error", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("messages", sa.Text),
        sa.Column("pending", sa.Text),
        sa.Column("events", sa.LargeBinary),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
    )
    op.create_table(
        "feedback",
        sa.Column("entry_id", sa.Integer, sa.ForeignKey("entries.id"), primary_key=True),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("conversation_id", sa.String, nullable=False),
        sa.Column("rating", sa.String, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
