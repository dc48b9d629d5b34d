"""Bundled plugins, one folder each, written only against the face that every plugin author has."""
