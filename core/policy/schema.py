"""The JSON Schema of policy files, for editors: made of the table of keys that the readers use."""

from __future__ import annotations

import json
from typing import Any

from toolhost.policy.keys import HOST, POLICY, shape

__all__ = ["SCHEMA_FILES", "policy_schema", "schema_text"]

SCHEMA_FILES = {"policy.schema.json": False, "host.schema.json": True}
"""The files in the policies folder that `#:schema ./policy.schema.json` names, and whether each is of host.toml."""


def policy_schema(*, host: bool = False) -> dict[str, Any]:
    """The schema.

    Args:
        host: Whether of host.toml; else of a plugin's policy.
    """
    title = "host.toml of Toolhost" if host else "A policy of Toolhost"
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **shape(HOST if host else POLICY)}


def schema_text(*, host: bool = False) -> str:
    """The schema as a file has it. Arguments as for `policy_schema`."""
    return json.dumps(policy_schema(host=host), indent=2) + "\n"
