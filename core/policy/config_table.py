"""Reading `[config]`: a plugin's own settings, by the types that its manifest declares."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from toolhost.policy.problems import Place, near
from toolhost.policy.table import Table

__all__ = ["NONE_DECLARED", "Declared", "Settings", "read_config"]

Settings = Mapping[str, Mapping[str, Any]]
"""The settings of one plugin: the JSON Schema of each by its name, with a `default` where it has one."""

Declared = Mapping[str, Settings]
"""The settings of every plugin there is, by the plugin's name."""

NONE_DECLARED: Declared = {}

_SHOWN = 300  # characters of a validation message, which quotes the value


def read_config(table: Table, plugin: str, settings: Settings | None, top: Place) -> Mapping[str, Any]:
    """The settings of a policy, with the defaults of those it does not mention.

    Args:
        table: `[config]`.
        plugin: Whose.
        settings: What the plugin declares; None where there is no such plugin: then the values are kept as they are.
        top: Where to say that a setting is missing.
    """
    given = {name: table.raw(name) for name in table.names()}
    for name, value in given.items():
        if settings is not None and name not in settings:
            known = f" Its settings: {', '.join(sorted(settings))}." if settings else " It declares none."
            hint = near(name, settings) or known
            message = f"The plugin {plugin} has no setting `{name}`.{hint}"
            table.problem(table.key_place(name), "unknown_key", message)
        elif not _is_json(value):
            message = f"{table.label(name)} holds a date, a time or no number: write it as a string."
            table.problem(table.place(name), "wrong_type", message)
        elif settings is not None:
            for path, message in _errors(settings[name], value):
                table.problem(table.place(name, *path), "bad_value", f"{table.label(name)}: {message}.")
    if settings is None:
        return given
    for name, schema in settings.items():
        if "default" not in schema and name not in given:
            about = f" {schema['description']}" if isinstance(schema.get("description"), str) else ""
            message = f"The plugin {plugin} needs the setting `{name}`: write it in [config].{about}"
            table.problem(top, "missing_key", message)
    return {name: schema["default"] for name, schema in settings.items() if "default" in schema} | given


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _errors(schema: Mapping[str, Any], value: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where in a value something is wrong, and what."""
    import jsonschema_rs  # only policies that set something pay for it

    # As for arguments, the engine that takes linear time: a pattern is as untrusted as the plugin that wrote it.
    validator = jsonschema_rs.validator_for(dict(schema), pattern_options=jsonschema_rs.RegexOptions())
    for error in validator.iter_errors(value):
        message = error.message
        yield tuple(error.instance_path), message if len(message) <= _SHOWN else message[:_SHOWN] + "…"
