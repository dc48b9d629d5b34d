"""Plugins, seen from the host: found without being run, described and called inside their sandbox, never imported."""

from __future__ import annotations

from toolhost.pluginhost.lock import PluginLock
from toolhost.pluginhost.record import PluginRecord, WorkerReply
from toolhost.pluginhost.registry import PluginRegistry
from toolhost.pluginhost.workers import Idle

__all__ = ["Idle", "PluginLock", "PluginRecord", "PluginRegistry", "WorkerReply"]
