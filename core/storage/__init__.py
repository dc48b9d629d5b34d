"""The database: SQLAlchemy Core over SQLite, migrated by alembic."""

from toolhost.storage.database import Database

__all__ = ["Database"]
