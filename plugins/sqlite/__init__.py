"""Bundled plugin: SQLite databases."""
