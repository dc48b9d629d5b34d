"""What stands beside a question: the change it would make to files, and what a model wrote when it asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("approvals", sa.Column("change", sa.Text))
    op.add_column("approvals", sa.Column("explanation", sa.Text, nullable=False, server_default=""))
