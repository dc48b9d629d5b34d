"""The policy files that `policy check`, `test` and `lint` are pointed at: those in force where nothing is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from toolhost.cli.session import enter
from toolhost.data import DataDirectory
from toolhost.pluginhost.configuring import declared_settings
from toolhost.pluginhost.lock import PluginLock
from toolhost.policy.offline import Reading, read_files

__all__ = ["known_tools", "read"]


def read(path: str | None) -> Reading:
    """Read a file or a folder, relative to the current one."""
    settings = enter()
    if path is None:
        DataDirectory(settings).prepare()
    target = settings.policies if path is None else Path(path).absolute()
    declared = declared_settings(settings.plugins)
    return read_files(
        target, data=settings.data, plugins=settings.plugins, declared=declared, in_force=target == settings.policies
    )


def known_tools() -> Mapping[str, Collection[str]]:
    """The tools of each plugin that this host has seen, without its name: nothing is started to ask for them."""
    pins = PluginLock(enter().policies).pins()
    return {name: [tool.name for tool in pin.tools] for name, pin in pins.items()}
