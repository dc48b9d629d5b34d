"""Bundled plugin: pages and files from servers that the policy names."""
