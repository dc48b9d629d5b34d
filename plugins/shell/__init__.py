"""Bundled plugin: see plugin.toml."""
