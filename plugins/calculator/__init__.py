"""Bundled plugin: exact arithmetic."""
