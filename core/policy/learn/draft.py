"""A policy with proposals added to it, judged by the same loader as a file."""

from __future__ import annotations

import copy
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import tomli

from toolhost.policy.load import Loaded, load_policy
from toolhost.policy.policy_set import PolicySet

__all__ = ["Draft", "Proposal", "toml_lines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One entry that a policy lacks.

    Attributes:
        table: The table it belongs in; empty for the top of the file.
        key: The key.
        value: An item of the key's list, or the key's value.
        listed: Whether the key holds a list.
        reason: Why, in one sentence.
        calls: The calls that lacked it.
        needs: What must be there for it to be valid.
    """

    table: str
    key: str
    value: str | bool | int
    listed: bool = True
    reason: str
    calls: tuple[str, ...]
    needs: tuple[Proposal, ...] = ()

    @property
    def identity(self) -> tuple[str, str, object]:
        """The same for the same entry, whatever the reason."""
        return self.table, self.key, self.value


@dataclass(frozen=True, slots=True)
class Draft:
    """A policy file as it would be.

    Attributes:
        plugin: The plugin.
        data: What the file says.
    """

    plugin: str
    data: Mapping[str, object]

    @classmethod
    def of(cls, plugin: str, policies: PolicySet) -> Draft:
        """The policy in force; where there is none, one that grants nothing."""
        file = policies.files.get(plugin)
        content = None if file is None else file.content
        return cls(plugin, {"plugin": plugin} if content is None else tomli.loads(content.decode()))

    def having(self, proposal: Proposal) -> Draft:
        """With a proposal, and what that needs."""
        data = copy.deepcopy(dict(self.data))
        for one in (*proposal.needs, proposal):
            table = data if not one.table else data.setdefault(one.table, {})
            assert isinstance(table, dict)
            if not one.listed:
                table[one.key] = one.value
            elif one.value not in table.setdefault(one.key, []):
                table[one.key].append(one.value)
        return Draft(self.plugin, data)

    def has(self, proposal: Proposal) -> bool:
        """Whether it says that already."""
        return self.having(proposal).data == self.data

    def load(self, policies: PolicySet) -> Loaded:
        """What the loader makes of it beside the host policy in force."""
        lines = [f"{json.dumps(key)} = {_toml(value)}" for key, value in self.data.items()]
        name = f"{self.plugin}.toml"
        return load_policy(
            "\n".join(lines).encode(),
            name,
            self.plugin,
            host=policies.host,
            places=policies.places,
            declared=policies.declared,
        )


def toml_lines(plugin: str, proposals: Sequence[Proposal], policies: PolicySet) -> Iterator[str]:
    """The proposals as lines of a policy file, each with its reason."""
    file = policies.files.get(plugin)
    known = tomli.loads(file.content.decode()) if file is not None and file.content is not None else None
    if known is None:
        yield f"plugin = {_toml(plugin)}"
    seen: dict[tuple[str, str], list[Proposal]] = {}
    for proposal in sorted(proposals, key=lambda one: bool(one.table)):  # what stands before every table comes first
        seen.setdefault((proposal.table, proposal.key), []).append(proposal)
    table = ""
    for (own, key), some in seen.items():
        if own != table:
            table = own
            yield ""
            yield f"[{table}]"
        inside = (known or {}).get(table, {}) if table else known or {}
        if key in inside:
            yield f"# the file has `{key}` already: " + ("add these to its list" if some[0].listed else "change it")
        if not some[0].listed:
            yield f"{key} = {_toml(some[0].value)}  # {_reason(some[0])}"
            continue
        yield f"{key} = ["
        yield from (f"  {_toml(one.value)},  # {_reason(one)}" for one in some)
        yield "]"


def _reason(proposal: Proposal) -> str:
    count = len(proposal.calls)
    return f"{proposal.reason} ({proposal.calls[0]}{f' and {count - 1} more' if count > 1 else ''})"


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            text = json.dumps(value, ensure_ascii=False)
            return "".join(char if unicodedata.category(char)[0] != "C" else f"\\U{ord(char):08X}" for char in text)
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
        case _:
            return str(value)  # a date or a time
