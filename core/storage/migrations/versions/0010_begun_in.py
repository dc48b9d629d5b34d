"""Which session began a run, and whether a session was left or revoked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("sessions", sa.Column("logged_out", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("session_id", sa.String))
