"""Who made each call and what was decided, so that it can be considered again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; of calls from before nothing is known."""
    op.add_column("calls", sa.Column("actor", sa.Text))
    op.add_column("calls", sa.Column("decision", sa.Text))
