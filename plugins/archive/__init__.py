"""Bundled plugin: zip and tar archives."""
