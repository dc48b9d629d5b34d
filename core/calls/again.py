"""Recorded calls, considered again: the way of a call up to its decision, with nothing run and nothing recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolhost.calls.arguments import prepare
from toolhost.calls.errands import errand_from
from toolhost.errors import PluginError, UsageError
from toolhost.model import Actor, Call, Decision
from toolhost.policy import Considered, PolicySet, Request, check_workspace, consider
from toolhost.policy.taint import TAINTED
from toolhost.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from toolhost.pluginhost import PluginRegistry

__all__ = ["Again", "Changed", "NotAgainError", "compared"]

Changed = Literal["same", "stricter", "looser"]

_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}


class NotAgainError(Exception):
    """Raised for a call that cannot be considered again.

    Attributes:
        code: `tool_gone`, `workspace_gone`, `arguments_changed`, `record_incomplete`.
        reason: One sentence.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Considers recorded calls under some policies.

    Attributes:
        plugins: The plugins as they are now.
        policies: The policies.
        request: What a call asks of a policy, as the pipeline has it.
        private: The folder of the workspaces that the host made itself.
    """

    plugins: PluginRegistry
    policies: PolicySet
    request: Callable[[Call], Request]
    private: Path

    def consider(self, row: Mapping[str, Any]) -> tuple[Considered, Request | None]:
        """What would be decided of a recorded call now.

        Args:
            row: A row of the table of calls.

        Raises:
            NotAgainError: It cannot be said.
        """
        call = self._call(row)
        if not Path(call.workspace).is_relative_to(self.private):
            try:
                check_workspace(Path(call.workspace), self.policies)
            except UsageError as error:
                if error.code != "workspace_not_allowed":
                    raise NotAgainError("workspace_gone", error.message) from None
                denied = Decision(outcome="deny", code=error.code, reason=error.message, hint=error.hint)
                return Considered(decision=denied, policies=self.policies), None
        try:
            request = self.request(call)
        except (PluginError, SandboxError) as error:
            raise NotAgainError("tool_gone", error.message) from None
        except UsageError as error:
            raise NotAgainError("arguments_changed", error.message) from None
        return consider(request, self.policies), request

    def _call(self, row: Mapping[str, Any]) -> Call:
        if row["actor"] is None or row["decision"] is None:
            raise NotAgainError("record_incomplete", "Its record does not say who made it and what was decided.")
        tool = self.plugins.tool(row["tool"])
        if tool is None:
            raise NotAgainError("tool_gone", f"There is no tool {row['tool']} any more.")
        errand = None
        try:
            arguments = json.loads(row["arguments"])
            if row["parent_id"] is None:
                arguments = prepare(tool, arguments)
            else:
                errand = errand_from(arguments)
        except UsageError as error:
            raise NotAgainError("arguments_changed", error.message) from None
        actor, workspace = json.loads(row["actor"]), json.loads(row["workspace"])
        if not Path(workspace["path"]).is_dir():
            raise NotAgainError("workspace_gone", f"Its workspace {workspace['path']} is gone.")
        return Call(
            id=row["id"],
            tool=tool,
            arguments=arguments,
            actor=Actor(
                user_id=row["user_id"],
                username=actor["username"],
                role=actor["role"],
                channel=actor["channel"],
                scopes=None if actor["scopes"] is None else frozenset(actor["scopes"]),
            ),
            workspace=workspace["path"],
            workspace_writable=workspace["writable"],
            workspace_own=workspace["own"],
            conversation_id=row["conversation_id"],
            parent_id=row["parent_id"],
            errand=errand,
        )


def compared(then: Mapping[str, Any], now: Decision) -> Changed:
    """How a decision differs from an earlier one, given as it was recorded."""
    if then["code"] == TAINTED and now.outcome == "allow":
        return "same"  # its conversation asked, not its rule; what that held is no part of a policy
    difference = _STRICTNESS[now.outcome] - _STRICTNESS[then["outcome"]]
    return "same" if not difference else "stricter" if difference > 0 else "looser"
