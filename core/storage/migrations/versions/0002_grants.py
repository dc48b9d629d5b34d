"""Answers that count again, and what each question offers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of grants; a question that is already open can be answered once, as before."""
    op.add_column("approvals", sa.Column("scopes", sa.Text, nullable=False, server_default='["once"]'))
    op.add_column("approvals", sa.Column("terms", sa.Text, nullable=False, server_default="{}"))
    op.add_column("approvals", sa.Column("decided_by", sa.String))
    op.create_table(
        "grants",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("scope", sa.String, nullable=False),
        sa.Column("conversation_id", sa.String),
        sa.Column("approval_id", sa.String, nullable=False),
        sa.Column("tool", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("source", sa.String),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("last_used", sa.BigInteger),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("revoked", sa.BigInteger),
        sa.Column("revoked_because", sa.String),
    )
    op.create_index("grants_by_digest", "grants", ["user_id", "digest"])
