"""`policies/lock.toml`: every plugin as it was when it was first seen or last accepted.

A plugin that is not in it is pinned; one that differs from its entry is not let in until a person accepts what changed.
The host only ever adds to it, except for the plugins that are part of toolhost itself: those change with the host, and
their entries follow it (docs/decisions/0012-bundled-plugins-follow-the-host.md).

Where the host may not write the policies folder, the lock is all there is: a plugin it does not name is not let in.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolhost.errors import PluginError, UsageError
from toolhost.pluginhost.drift import changes, summary
from toolhost.pluginhost.manifest import is_plugin_name
from toolhost.pluginhost.pins import CHECKOUT, PluginPin, ToolPin, pin_text
from toolhost.policy.document import Document, DocumentError, parse_document, read_bytes
from toolhost.policy.patience import is_settled, patiently
from toolhost.policy.problems import Place, Problem

__all__ = ["LOCK", "Note", "PluginLock", "lock_text", "taken_out"]

Note = Callable[[str, Mapping[str, Any]], object]
"""Takes down an event and its details."""

LOCK = "lock.toml"
"""Name of the file."""

_MAX_BYTES = 32 << 20
_HEADER = """\
# Every plugin as it was when this host first saw it, or when an administrator last accepted it. Written by toolhost:
# `toolhost plugin accept NAME` shows what changed in a plugin and, on a yes, writes its entry anew.
format = 1
"""
_PLUGIN_KEYS = ("version", "host", "code", "digest", "quarantined", "tools")
_TOOL_KEYS = ("about", "command", "cwd", "input", "output", "digest")


@dataclass(frozen=True, slots=True)
class _Entries:
    """What a lock says: each plugin's pin, or why its entry cannot be used."""

    pins: Mapping[str, PluginPin] = field(default_factory=dict)
    broken: Mapping[str, PluginError] = field(default_factory=dict)


class PluginLock:
    """The lock of one policies folder.

    Args:
        folder: The policies folder.
        note: Told of what is pinned and what drifts.

    Attributes:
        note: The same.
    """

    def __init__(self, folder: Path, note: Note = lambda event, details: None) -> None:
        self._folder = folder
        self.note = note
        self._file = folder / LOCK

    def hold(self, seen: Iterable[PluginPin]) -> dict[str, PluginError]:
        """Compare plugins with the lock, and pin those it does not have.

        Args:
            seen: The plugins as they are.

        Returns:
            Why a plugin is not let in, by name; the others are.
        """
        plugins = tuple(seen)
        try:
            refused, fresh = _judge(plugins, self._read())
            if fresh:
                try:
                    # Another process may have pinned them meanwhile, and what was pinned first counts.
                    with self._alone():
                        entries = self._read()
                        refused, fresh = _judge(plugins, entries)
                        if fresh:
                            self._write({**entries.pins, **{pin.name: pin for pin in fresh}}, entries.broken)
                    for pin in fresh:
                        self.note("plugin.pinned", {"plugin": pin.name, "version": pin.version, "digest": pin.digest})
                except OSError as error:
                    refused |= {pin.name: _not_pinned(pin, error) for pin in fresh if not pin.host}
        except PluginError as error:
            return {pin.name: error for pin in plugins}
        for name, refusal in refused.items():
            if refusal.code == "plugin_drifted":
                self.note("plugin.drifted", {"plugin": name, "reason": refusal.message})
        return refused

    def pinned(self, name: str) -> PluginPin | None:
        """The plugin as it is pinned, or None where it is not, or where its entry cannot be believed."""
        return self.pins().get(name)

    def pins(self) -> Mapping[str, PluginPin]:
        """Every plugin that is pinned; none where the file cannot be believed."""
        try:
            return self._read().pins
        except PluginError:
            return {}

    def accept(self, pin: PluginPin) -> None:
        """Pin a plugin as it is now, whatever was pinned before.

        Raises:
            PluginError: `lock_invalid` where the file as a whole cannot be read; `lock_not_writable`.
        """
        self._change(lambda pins: {**pins, pin.name: pin})

    def quarantine(self, name: str, reason: str) -> None:
        """Keep a pinned plugin out of service until it is accepted again.

        Raises:
            UsageError: `unknown_plugin` where it is not pinned.
            PluginError: As `accept`.
        """

        def out(pins: Mapping[str, PluginPin]) -> Mapping[str, PluginPin]:
            if name not in pins:
                raise UsageError(
                    "unknown_plugin", f"{LOCK} has no plugin {name!r}.", "`toolhost plugin list` lists them."
                )
            return {**pins, name: replace(pins[name], quarantined=reason)}

        self._change(out)

    def _change(self, change: Callable[[Mapping[str, PluginPin]], Mapping[str, PluginPin]]) -> None:
        """Write other pins, while no other process does."""
        try:
            with self._alone():
                entries = self._read()
                self._write(change(entries.pins), entries.broken)
        except OSError as error:
            raise PluginError(
                "lock_not_writable",
                f"{self._file} cannot be written: {error.strerror}.",
                f"`toolhost plugin lock` prints it, to be written by whoever {self._folder} belongs to.",
            ) from error

    # -- the file ------------------------------------------------------------------------------------------------------

    def _read(self) -> _Entries:
        """The entries; none where there is no file yet.

        Raises:
            PluginError: `lock_invalid` where the file as a whole cannot be believed.
        """
        try:
            self._file.lstat()
        except FileNotFoundError:
            return _Entries()
        except OSError as error:
            raise _invalid(Place(file=LOCK), f"The file cannot be reached: {error.strerror}.") from None
        found = patiently(self._parsed, lambda found: isinstance(found, Document) or is_settled(found))
        if isinstance(found, Document):
            return _entries(found)
        raise _invalid(Place(file=found.file, line=found.line, column=found.column), found.message)

    def _parsed(self) -> Document | Problem:
        try:
            return parse_document(read_bytes(self._file, LOCK, _MAX_BYTES, in_force=True), LOCK)
        except DocumentError as error:
            return error.problem

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from writing: a call beside a server, or two servers of one policies folder."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write(self, pins: Mapping[str, PluginPin], broken: Mapping[str, PluginError]) -> None:
        """Replace the file in one step: whoever reads it sees the old one or the new one, also after a crash."""
        text = lock_text(pins.values(), [name for name in broken if name not in pins])
        temporary = self._folder / f".{LOCK}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(fd, "w") as file:
                os.fchmod(fd, 0o644)
                file.write(text)
                file.flush()
                os.fsync(fd)
            temporary.replace(self._file)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def lock_text(pins: Iterable[PluginPin], broken: Iterable[str] = ()) -> str:
    """A lock with these plugins.

    Args:
        pins: The plugins.
        broken: Plugins whose entry could not be believed: an empty one keeps them out until they are accepted.
    """
    entries = {pin.name: pin_text(pin) for pin in pins}
    entries |= {name: f"# Not believed: `toolhost plugin accept {name}`\n[plugins.{name}]\n" for name in broken}
    return "\n".join((_HEADER, *(entries[name] for name in sorted(entries))))


# -- judging -----------------------------------------------------------------------------------------------------------


def _judge(plugins: Iterable[PluginPin], entries: _Entries) -> tuple[dict[str, PluginError], tuple[PluginPin, ...]]:
    """Why plugins are not let in, by name; and those to be pinned as they are."""
    refused: dict[str, PluginError] = {}
    fresh: list[PluginPin] = []
    for pin in plugins:
        known = entries.pins.get(pin.name)
        if pin.name in entries.broken:
            refused[pin.name] = entries.broken[pin.name]
        elif known is not None and known.quarantined:
            refused[pin.name] = taken_out(pin.name, known.quarantined)
        elif known is None or _follows_host(pin, known):
            fresh.append(pin)
        elif not pin.same(known):
            refused[pin.name] = _drifted(known, pin)
    return refused, tuple(fresh)


def _follows_host(pin: PluginPin, known: PluginPin) -> bool:
    """Whether a plugin is part of toolhost, and toolhost is another than the one it was pinned with."""
    if not pin.host or not known.host:
        return False
    # A checkout changes under one version.
    return pin.host != known.host or (pin.host.endswith(CHECKOUT) and not pin.same(known))


def _drifted(known: PluginPin, pin: PluginPin) -> PluginError:
    return PluginError(
        "plugin_drifted",
        f"It is not what was pinned: {summary(list(changes(known, pin)))}.",
        f"`toolhost plugin accept {pin.name}` shows what changed, and lets it in on a yes.",
    )


def taken_out(name: str, reason: str) -> PluginError:
    """Why a plugin that was quarantined is not in service."""
    return PluginError(
        "plugin_quarantined",
        f"An administrator took it out of service: {reason.rstrip('.')}.",
        f"`toolhost plugin accept {name}` lets it in again.",
    )


def _not_pinned(pin: PluginPin, error: OSError) -> PluginError:
    return PluginError(
        "plugin_not_pinned",
        f"{LOCK} does not name it and cannot be written: {error.strerror}.",
        "`toolhost plugin lock` prints the lock, to be written by whoever the policies folder belongs to.",
    )


# -- reading -----------------------------------------------------------------------------------------------------------


def _entries(document: Document) -> _Entries:
    data = document.data
    if data.get("format") != 1:
        raise _invalid(document.value(("format",)), "`format` is not 1, and this host knows no other.")
    unknown = next((key for key in data if key not in ("format", "plugins")), None)
    if unknown is not None:
        raise _invalid(document.key((unknown,)), f"{unknown!r} is no key of the lock.")
    plugins = data.get("plugins", {})
    if not isinstance(plugins, dict):
        raise _invalid(document.key(("plugins",)), "`plugins` is not a table.")
    pins: dict[str, PluginPin] = {}
    broken: dict[str, PluginError] = {}
    for name, entry in plugins.items():
        if not is_plugin_name(name):
            raise _invalid(document.key(("plugins", name)), f"{name!r} cannot be a plugin's name.")
        try:
            pins[name] = _pin(name, entry)
        except ValueError as error:
            broken[name] = _invalid(document.key(("plugins", name)), f"The entry of {name} {error}.", name)
    return _Entries(pins, broken)


def _pin(name: str, entry: object) -> PluginPin:
    """One plugin's entry.

    Raises:
        ValueError: Where it is not as the host wrote it; the message ends a sentence.
    """
    table = _table(entry, _PLUGIN_KEYS, ("version", "code", "digest"), "tools")
    tools = table.get("tools", {})
    if not isinstance(tools, dict):
        raise ValueError("has tools that are no table")
    pin = PluginPin(
        name=name,
        version=table["version"],
        code=table["code"],
        host=table.get("host", ""),
        quarantined=table.get("quarantined", ""),
        tools=tuple(_tool(tool, tools[tool]) for tool in sorted(tools)),
    )
    if pin.digest != table["digest"]:
        raise ValueError("was edited by hand: its digest is not that of what it says")
    return pin


def _tool(name: str, entry: object) -> ToolPin:
    table = _table(entry, _TOOL_KEYS, ("input", "digest"))
    pin = ToolPin(name=name, **{key: table.get(key, "") for key in _TOOL_KEYS if key != "digest"})
    if pin.digest != table["digest"]:
        raise ValueError(f"was edited by hand: the digest of its tool {name} is not that of what it says")
    for schema in (pin.input, pin.output or "{}"):
        if not isinstance(json.loads(schema), dict):
            raise ValueError(f"has a schema of the tool {name} that is no object")
    return pin


def _table(entry: object, keys: tuple[str, ...], needed: tuple[str, ...], *tables: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError("is no table")
    for key in needed:
        if key not in entry:
            raise ValueError(f"has no `{key}`")
    for key, value in entry.items():
        if key not in keys:
            raise ValueError(f"has an unknown key {key!r}")
        if key not in tables and not isinstance(value, str):
            raise ValueError(f"has a `{key}` that is no text")
    return entry


def _invalid(place: Place, message: str, name: str = "") -> PluginError:
    hint = (
        f"`toolhost plugin accept {name}` shows the plugin as it is, and writes the entry anew."
        if name
        else f"Correct {LOCK}, or remove it: every plugin is then pinned as it is at that moment."
    )
    return PluginError("lock_invalid", f"{place.file}:{place.line}:{place.column}: {message}", hint)
