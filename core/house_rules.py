"""Policies and trusted extensions: what house rules object to, and who is told when a policy takes effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from toolhost.errors import PluginError
from toolhost.extensions.model import Objection
from toolhost.policy.difference import differences

if TYPE_CHECKING:
    from toolhost.hooks import Hooks
    from toolhost.policy import Policy, PolicyStore

__all__ = ["PolicyNews", "objections"]


def objections(hooks: Hooks, policy: Policy) -> Iterator[tuple[str, str, str]]:
    """What extensions have against a policy: the key, a code, a sentence. One that fails is against it."""
    try:
        said = hooks.collect("validate_policy", plugin=policy.plugin, policy=policy)
    except PluginError as error:
        yield "", error.code, error.message
        return
    for one, found in said:
        try:
            listed = [] if found is None else list(found)
        except Exception as error:
            yield "", "extension_failed", f"The extension {one.plugin_name} raised {type(error).__name__}."
            continue
        for objection in listed:
            if isinstance(objection, Objection):
                yield objection.key, "house_rule", objection.message
            else:
                yield "", "extension_failed", f"The extension {one.plugin_name} answered with no Objection."


class PolicyNews:
    """Tells extensions of each policy that takes effect, or ends: those that are there at the start, too.

    Args:
        hooks: The extensions.
        policies: What is in force.
    """

    def __init__(self, hooks: Hooks, policies: PolicyStore) -> None:
        self._hooks = hooks
        self._policies = policies
        self._told: Mapping[str, Policy] = {}

    def tell(self) -> None:
        """Tell of what is not as it was the last time."""
        if "policy_loaded" not in self._hooks.implemented:
            return
        before, now = self._told, self._policies.current.policies
        for name in sorted({*before, *now}):
            old, new = before.get(name), now.get(name)
            if old is not new:
                self._hooks.observe("policy_loaded", plugin=name, policy=new, diff=tuple(differences(old, new)))
        self._told = dict(now)
