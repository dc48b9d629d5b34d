"""Command tools: from a template and a call's arguments to an argument vector.

`{name}` is one word, whatever it holds: no value is ever split, globbed or read by a shell. `{name...}` is one word for
each item of a list. `[--flag {name}]` and `[--flag={name}]` are left out when the input was not given, and
`[--flag?name]` is there when the boolean is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from toolhost.argv_syntax import Anything, Group, Node, Slot, TemplateSyntaxError, Word, parse
from toolhost.errors import UsageError
from toolhost.model import Tool

__all__ = ["check_template", "expand", "optional_inputs"]

_SWITCH = re.compile(r"(.+)\?([A-Za-z_][A-Za-z0-9_]*)", re.DOTALL)
_SCALARS = ("string", "integer", "number")

_parse = lru_cache(maxsize=512)(parse)


def check_template(text: str, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that a template can be expanded from these inputs.

    Args:
        text: The template.
        inputs: JSON Schema of each input, by name.

    Raises:
        TemplateSyntaxError: With the character at which it goes wrong.
    """
    nodes = _parse(text)
    if not nodes or not isinstance(nodes[0], Word):
        raise TemplateSyntaxError(0, "a command starts with the name of its program")
    if "/" in nodes[0].text and not nodes[0].text.startswith("/"):
        raise TemplateSyntaxError(0, f"a program is a name or an absolute path, not {nodes[0].text!r}")
    named: set[str] = set()
    for node in nodes:
        if isinstance(node, Anything):
            raise TemplateSyntaxError(node.offset, "`...` belongs to policies; a command names its inputs: {name...}")
        for name, use, offset in _uses(node):
            _check_use(name, use, offset, inputs)
            named.add(name)
    unnamed = [name for name in inputs if name not in named]
    if unnamed:
        raise TemplateSyntaxError(0, f"the input {unnamed[0]!r} is declared, but the command never uses it")


def optional_inputs(text: str) -> frozenset[str]:
    """The inputs that stand only in brackets, so that a call may leave them out."""
    inside: set[str] = set()
    outside: set[str] = set()
    for node in _parse(text):
        (inside if isinstance(node, Group) else outside).update(name for name, _, _ in _uses(node))
    return frozenset(inside - outside)


def expand(tool: Tool, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The argument vector of a command tool; `argv[0]` is the program as the template names it.

    Args:
        tool: A tool with a command.
        arguments: Already validated; a default that was not filled in is.

    Raises:
        UsageError: `invalid_arguments` for a value no argument vector can hold, or a missing input.
    """
    if tool.command is None:
        raise UsageError("invalid_arguments", f"{tool.name} is not a command tool.")
    properties: Mapping[str, Mapping[str, Any]] = tool.input_schema.get("properties", {})
    given = {name: schema["default"] for name, schema in properties.items() if "default" in schema} | dict(arguments)
    argv: list[str] = []
    for node in _parse(tool.command.text):
        match node:
            case Word():
                argv.append(node.text)
            case Slot():
                if node.body not in given:
                    raise UsageError("invalid_arguments", f"{tool.name} needs the argument {node.body!r}.")
                argv.extend(_words(tool, node, given[node.body]))
            case Group():
                argv.extend(_group(tool, node, given))
            case Anything():
                raise AssertionError("refused when the manifest was read")
    return tuple(argv)


def _group(tool: Tool, group: Group, given: Mapping[str, Any]) -> Iterator[str]:
    switch = _switch(group)
    if switch is not None:
        flag, name = switch
        if given.get(name) is True:
            yield flag
        return
    slot = next(item for item in group.items if isinstance(item, Slot))
    value = given.get(slot.body)
    if value is None or value == []:
        return
    for item in group.items:
        if isinstance(item, Word):
            yield item.text
        else:
            yield from _words(tool, item, value)


def _words(tool: Tool, slot: Slot, value: object) -> Iterator[str]:
    values = value if slot.many and isinstance(value, list) else [value]
    for item in values:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise UsageError("invalid_arguments", f"{tool.name}: {slot.body} cannot be written as a word of a command.")
        word = slot.flag + str(item)
        if "\0" in word:
            raise UsageError("invalid_arguments", f"{tool.name}: {slot.body} holds a NUL character.")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError("invalid_arguments", f"{tool.name}: {slot.body} holds half a surrogate pair.") from None
        yield word


def _switch(group: Group) -> tuple[str, str] | None:
    if len(group.items) == 1 and isinstance(group.items[0], Word):
        found = _SWITCH.fullmatch(group.items[0].text)
        if found:
            return found[1], found[2]
    return None


def _uses(node: Node) -> Iterator[tuple[str, str, int]]:
    """(input, "one" | "many" | "switch", offset) of every input a node names."""
    if isinstance(node, Slot):
        yield node.body, "many" if node.many else "one", node.offset
    elif isinstance(node, Group):
        switch = _switch(node)
        if switch is not None:
            yield switch[1], "switch", node.offset
            return
        slots = [item for item in node.items if isinstance(item, Slot)]
        if len(slots) != 1:
            raise TemplateSyntaxError(
                node.offset,
                "brackets hold exactly one input: [--flag {name}], or [--flag?name] for a boolean",
            )
        yield from _uses(slots[0])


def _check_use(name: str, use: str, offset: int, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    if name not in inputs:
        raise TemplateSyntaxError(offset, f"the command names the input {name!r}, which is not declared")
    kind = inputs[name].get("type")
    if use == "switch" and kind != "boolean":
        raise TemplateSyntaxError(offset, f"[--flag?{name}] takes a boolean, and {name!r} is of type {kind}")
    if use == "many" and kind != "array":
        raise TemplateSyntaxError(
            offset, f"{{{name}...}} takes a list, and {name!r} is of type {kind}; write {{{name}}}"
        )
    if use == "one" and kind == "array":
        raise TemplateSyntaxError(offset, f"{name!r} is a list: write {{{name}...}}")
    if use == "one" and kind not in _SCALARS:
        raise TemplateSyntaxError(offset, f"{{{name}}} cannot be of type {kind}; a boolean is written [--flag?{name}]")
