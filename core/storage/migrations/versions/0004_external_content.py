"""What content from elsewhere each conversation has taken in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "external_content",
        sa.Column("conversation_id", sa.String, primary_key=True),
        sa.Column("tool", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("origins", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
