"""Bundled plugin: Python snippets and files."""
