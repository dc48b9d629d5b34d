"""Tools as a model sees them: a name it can write, one sentence, and the schema as its plugin wrote it."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from toolhost.model import Tool

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

__all__ = ["NOTHING", "Offer", "model_name", "named", "offered"]

_LONGEST = 64  # characters that providers accept
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")


@lru_cache(maxsize=1024)
def model_name(tool: str) -> str:
    """`fs.read` as `fs__read`: providers take letters, digits, `_` and `-`, and 64 of them."""
    name = _OTHER.sub("_", tool.replace(".", "__"))
    if len(name) <= _LONGEST:
        return name
    return name[: _LONGEST - 9] + "_" + sha256(tool.encode()).hexdigest()[:8]


def named(tools: Iterable[Tool]) -> dict[str, Tool]:
    """Tools by the name a model calls them. Of two with the same one, the first alone can be called."""
    found: dict[str, Tool] = {}
    for tool in tools:
        found.setdefault(model_name(tool.name), tool)
    return found


@dataclass(frozen=True, slots=True)
class Offer:
    """Tools as they are offered to a model.

    Attributes:
        tools: By the name a model calls them.
        definitions: The same for the library.
        wire: The same in OpenAI's protocol, to be sent as they are.
        size: Characters that they take of what is sent.
    """

    tools: Mapping[str, Tool]
    definitions: Sequence[ToolDefinition]
    wire: Sequence[Mapping[str, Any]]
    size: int


NOTHING = Offer({}, (), (), 0)


_OFFERS: OrderedDict[tuple[int, ...], tuple[Sequence[Tool], Offer]] = OrderedDict()
_KEPT = 32  # sets of tools: people of one role, and profiles, have the same ones in every answer


def offered(tools: Sequence[Tool]) -> Offer:
    """The offer of some tools, made once for as long as they are the same."""
    key = tuple(map(id, tools))
    kept = _OFFERS.get(key)
    if kept is None:
        by_name = named(tools)
        definitions = [_definition(name, tool) for name, tool in by_name.items()]
        wire = [_wire(name, tool) for name, tool in by_name.items()]
        # The tools are kept beside it, so that no other object takes the place of one of them.
        kept = _OFFERS[key] = (tuple(tools), Offer(by_name, definitions, wire, len(json.dumps(wire))))
        if len(_OFFERS) > _KEPT:
            _OFFERS.popitem(last=False)
    return kept[1]


def _definition(name: str, tool: Tool) -> ToolDefinition:
    from pydantic_ai.tools import ToolDefinition

    # Not strict: a plugin's schema is what it is, and `strict` asks for one of the provider's own dialect.
    return ToolDefinition(
        name=name, description=tool.about, parameters_json_schema=dict(tool.input_schema), strict=False
    )


def _wire(name: str, tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": tool.about, "parameters": dict(tool.input_schema)},
    }
