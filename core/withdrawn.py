"""Ending what runs without leave: calls of people who were disabled, of sessions, keys and addresses that were taken
away, and of plugins that are granted nothing any more.

What was decided is not decided again while it runs; but who takes a person or a plugin out means now, not afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolhost.accounts.standing import Standing
from toolhost.model import Actor

if TYPE_CHECKING:
    from toolhost.calls.pipeline import Pipeline
    from toolhost.pluginhost import PluginRegistry
    from toolhost.policy import PolicyStore
    from toolhost.storage import Database

__all__ = ["Withdrawn"]


class Withdrawn:
    """Looks at what runs on one host.

    Args:
        pipeline: Its calls.
        policies: Its policies.
        plugins: Its plugins.
        database: Its people.
    """

    def __init__(self, pipeline: Pipeline, policies: PolicyStore, plugins: PluginRegistry, database: Database) -> None:
        self._pipeline = pipeline
        self._policies = policies
        self._plugins = plugins
        self._standing = Standing(database)

    async def end(self) -> None:
        """End the calls that may not go on, and the workers that stand ready for those whose they were."""
        actors = self._plugins.served
        named: set[str] = set()

        def seen(actor: Actor, plugin: str) -> bool:
            actors.add(actor)
            named.add(plugin)
            return False

        await self._pipeline.end_calls(seen)  # ends none
        gone = {plugin for plugin in named if not self._in_service(plugin)}
        out = await self._standing.withdrawn(actors)
        if gone or out:
            await self._pipeline.end_calls(lambda actor, plugin: plugin in gone or actor in out)
        if out:
            self._plugins.retire_workers(out)

    def _in_service(self, plugin: str) -> bool:
        record = self._plugins.plugins.get(plugin)
        return self._policies.current.policy(plugin) is not None and record is not None and record.state == "active"
