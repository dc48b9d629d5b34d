"""Bundled plugin: named steps, one after the other."""
