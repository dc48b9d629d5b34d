"""How much work a JSON Schema can make: found out before anything is checked against it.

A schema is as untrusted as the plugin that brings it. Sixty lines of `anyOf` with references to each other make more
parts than memory holds, and a recursive one can double its work with every level of what it is checked against. The
validator is compiled code in the host's process: it cannot be stopped, and when memory runs out it ends the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

__all__ = ["MOST_PARTS", "SchemaWork", "SchemaWorkError", "measured"]

MOST_PARTS = 20_000
"""Parts of a schema, its references followed."""

_LONGEST_CHAIN = 64  # references that lead on to each other
_SAME = ("not", "if", "then", "else")
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_ITEMS = ("items", "contains", "unevaluatedItems", "additionalItems")
_ANY = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

_Step = tuple[str, str]
_ITEM: _Step = ("item", "")
_ANY_PROPERTY: _Step = ("any", "")


class SchemaWorkError(ValueError):
    """Raised for a schema whose work cannot be bounded; the text ends a sentence about it."""


@dataclass(frozen=True, slots=True)
class SchemaWork:
    """What a schema costs.

    Attributes:
        parts: Its parts, references followed: what one value is compared with at most.
        branching: How often at most a part of a value is looked at for each time that the value around it is. Above 1
            only for a schema that contains itself more than once for the same place.
    """

    parts: int
    branching: int

    def of(self, values: int, depth: int) -> int:
        """Comparisons at most, for so many values nested so deep."""
        return values * self.parts * int(self.branching ** min(depth, 64))


def measured(schema: Mapping[str, Any]) -> SchemaWork:
    """Follow every reference and count.

    Raises:
        SchemaWorkError: It has too many parts, or a reference that leads nowhere.
    """
    measure = _Measure(schema)
    measure.walk(schema, (), ())
    named = [count for (kind, _), count in measure.back.items() if kind == "name"]
    branching = max(named, default=0) + measure.back[_ANY_PROPERTY]
    return SchemaWork(measure.parts, max(branching, measure.back[_ITEM], 1))


class _Measure:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self.parts = 0
        self.back: Counter[_Step] = Counter()
        """How often the schema comes back to a part that it is in, by the last step into the value on the way."""

    def walk(self, node: Any, path: tuple[_Step, ...], within: tuple[tuple[str, int], ...]) -> None:
        """Count a part and all below it.

        Args:
            node: The part.
            path: The steps into the value that led here.
            within: The references that led here, and how long the path was at each.
        """
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise SchemaWorkError(f"has more than {MOST_PARTS} parts when its references are followed")
        if not isinstance(node, Mapping):
            return
        if self.parts > 1 and "$id" in node:
            raise SchemaWorkError("has an `$id` within it, so that its references mean something else there")
        for key in _REFERENCES:
            reference = node.get(key)
            if isinstance(reference, str):
                self._follow(reference, path, within)
        for step, part in _children(node):
            self.walk(part, path if step is None else (*path, step), within)

    def _follow(self, reference: str, path: tuple[_Step, ...], within: tuple[tuple[str, int], ...]) -> None:
        entered = next((length for name, length in within if name == reference), None)
        if reference == "#" and entered is None:
            entered = 0
        if entered is not None:
            if len(path) > entered:
                self.back[path[-1]] += 1
            return
        if len(within) >= _LONGEST_CHAIN:
            raise SchemaWorkError(f"has more than {_LONGEST_CHAIN} references that lead on to each other")
        self.walk(self._target(reference), path, (*within, (reference, len(path))))

    def _target(self, reference: str) -> Any:
        if reference.startswith("#/"):
            node: Any = self._schema
            for part in reference[2:].split("/"):
                key = unquote(part).replace("~1", "/").replace("~0", "~")
                if isinstance(node, Mapping) and key in node:
                    node = node[key]
                elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                    node = node[int(key)]
                else:
                    raise SchemaWorkError(f"refers to {reference!r}, which is not in it")
            return node
        if reference == "#":
            return self._schema
        raise SchemaWorkError(f"refers to {reference!r}: write references as `#/$defs/name`")


def _children(node: Mapping[str, Any]) -> Iterator[tuple[_Step | None, Any]]:
    """The parts of a part that values are compared with, and the step into the value that leads there."""
    for key in _SAME:
        if key in node:
            yield None, node[key]
    for key in _SAME_LISTS:
        if isinstance(node.get(key), list):
            yield from ((None, part) for part in node[key])
    for key in ("dependentSchemas", "dependencies"):
        if isinstance(node.get(key), Mapping):
            yield from ((None, part) for part in node[key].values())
    if isinstance(node.get("properties"), Mapping):
        yield from ((("name", name), part) for name, part in node["properties"].items())
    if isinstance(node.get("patternProperties"), Mapping):
        yield from ((_ANY_PROPERTY, part) for part in node["patternProperties"].values())
    for key in _ANY:
        if key in node:
            yield _ANY_PROPERTY, node[key]
    for key in (*_ITEMS, "prefixItems"):
        if isinstance(node.get(key), list):
            yield from ((_ITEM, part) for part in node[key])
        elif key in node:
            yield _ITEM, node[key]
