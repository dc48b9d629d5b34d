"""Calls that a running call's worker asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    op.add_column("calls", sa.Column("parent_id", sa.String))
    op.create_index("ix_calls_parent_id", "calls", ["parent_id"])
