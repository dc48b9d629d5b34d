"""Bundled plugin: files of the workspace."""
