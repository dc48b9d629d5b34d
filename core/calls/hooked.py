"""What trusted extensions may do to a call: take away, ask, deny, stand around it and mask; never let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolhost.errors import AccessError, PluginError
from toolhost.extensions.model import Explanation, Verdict
from toolhost.hooks import Hooks
from toolhost.model import Actor, Call, CallResult, Decision, Tool
from toolhost.policy import Considered, Request
from toolhost.policy.narrowing import widened

if TYPE_CHECKING:
    from toolhost.calls.telling import OnEvent
    from toolhost.sandbox.plan import SandboxPlan

__all__ = ["HookedCalls"]

_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}


class HookedCalls:
    """Calls the hooks of calls. Without an implementation none of this does anything.

    Args:
        hooks: The extensions.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def offered(self, actor: Actor, tools: Sequence[Tool]) -> Sequence[Tool]:
        """Which of the tools that somebody is granted are offered; none where an extension fails."""
        if "filter_tools" not in self._hooks.implemented:
            return tools
        try:
            left = self._hooks.chain_sync("filter_tools", "tools", _more_tools, actor=actor, tools=tools)
        except PluginError:
            return ()
        return tuple(left)

    async def permitted(self, actor: Actor, action: str, resource: str) -> None:
        """Refuse what somebody's role and scopes allow, and an extension does not.

        Args:
            actor: Who.
            action: The right.
            resource: A path, or a tool's name.

        Raises:
            AccessError: With the extension's code, or `extension_failed`.
        """
        if "actor_allowed" not in self._hooks.implemented:
            return
        try:
            said = await self._hooks.gate("actor_allowed", actor=actor, action=action, resource=resource)
        except PluginError as error:
            raise AccessError(error.code, error.message, error.hint) from None
        for verdict in said:
            if not isinstance(verdict, Verdict):
                what = f"An extension answered actor_allowed with a {type(verdict).__name__}."
                raise AccessError("extension_failed", what)
            if verdict.outcome != "allow":
                raise AccessError(verdict.code, verdict.reason, "Ask an administrator.")

    def executing(self, call: Call, plan: SandboxPlan) -> None:
        """Tell that a call's sandbox is asked for."""
        self._hooks.observe("before_exec", call=call, plan=plan)

    def executed(self, call: Call, plan: SandboxPlan, result: CallResult) -> None:
        """Tell that it has ended."""
        self._hooks.observe("after_exec", call=call, plan=plan, result=result)

    async def explained(self, call: Call, result: CallResult) -> CallResult:
        """A result whose failure is told in an extension's words, where one has any."""
        if result.error is None or result.status == "cancelled" or "tool_call_failed" not in self._hooks.implemented:
            return result
        try:
            words = await self._hooks.first("tool_call_failed", call=call, result=result)
        except PluginError:  # logged; what the host says of it stands
            return result
        if not isinstance(words, Explanation):
            return result
        return replace(result, error={**result.error, "message": str(words.message), "hint": str(words.hint)})

    async def prepared(self, tool: Tool, actor: Actor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that a call goes on with.

        Raises:
            PluginError: `extension_failed`.
        """
        if "prepare_arguments" not in self._hooks.implemented:
            return arguments
        made: Mapping[str, Any] = await self._hooks.chain(
            "prepare_arguments", "arguments", _no_arguments, tool=tool, actor=actor, arguments=arguments
        )
        return made

    def tightened(self, request: Request, considered: Considered) -> Considered:
        """What is left of a plan; a denial where an extension fails or would widen it."""
        if considered.plan is None or "tighten_sandbox" not in self._hooks.implemented:
            return considered
        try:
            plan = self._hooks.chain_sync("tighten_sandbox", "plan", widened, call=request, plan=considered.plan)
        except PluginError as error:
            return _denied(considered, error)
        return replace(considered, plan=plan)

    async def authorized(self, call: Call, considered: Considered) -> Considered:
        """What every gate leaves of a decision: the strictest answer counts."""
        plan, decision = considered.plan, considered.decision
        if plan is None or "authorize_tool_call" not in self._hooks.implemented:
            return considered
        try:
            verdicts = await self._hooks.gate("authorize_tool_call", call=call, plan=plan, decision=decision)
            for verdict in verdicts:
                if not isinstance(verdict, Verdict):
                    what = f"An extension answered authorize_tool_call with a {type(verdict).__name__}."
                    return _denied(considered, PluginError("extension_failed", what))
        except PluginError as error:
            return _denied(considered, error)
        strictest = max(verdicts, key=lambda verdict: _STRICTNESS[verdict.outcome], default=None)
        if strictest is not None and strictest.outcome == "ask" and decision.outcome == "ask":
            return replace(considered, in_person=True)
        if strictest is None or _STRICTNESS[strictest.outcome] <= _STRICTNESS[decision.outcome]:
            return considered
        decision = Decision(outcome=strictest.outcome, code=strictest.code, reason=strictest.reason)
        if decision.outcome == "deny":
            return replace(considered, decision=decision, plan=None)
        return replace(considered, decision=decision, in_person=True)

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Stands around a call while it runs."""
        if "tool_call_wrapper" not in self._hooks.implemented:
            return nullcontext()
        return self._hooks.wrap("tool_call_wrapper", call=call)

    def shown(self, call: Call, on_event: OnEvent) -> OnEvent:
        """Who is told of a call's events: where an extension transforms results, nobody sees output before it has.

        What a running tool asked for is read by that tool, and its result is transformed like any other.
        """
        if call.parent_id is not None or "transform_result" not in self._hooks.implemented:
            return on_event

        def muted(event: dict[str, Any]) -> None:
            if event["type"] not in ("tool.output", "tool.progress"):
                on_event(event)

        return muted

    async def transformed(self, call: Call, result: CallResult) -> CallResult:
        """The result that is recorded and shown; a failure without output where an extension fails."""
        result = await self.explained(call, result)
        if "transform_result" not in self._hooks.implemented:
            return result
        try:
            made: CallResult = await self._hooks.chain(
                "transform_result", "result", _another_result, call=call, result=result
            )
        except PluginError as error:
            return replace(
                result, status="error", stdout="", stderr="", content=(), error=error.as_json(), exit_code=None
            )
        return made


def _denied(considered: Considered, error: PluginError) -> Considered:
    decision = Decision(outcome="deny", code=error.code, reason=error.message, hint=error.hint)
    return replace(considered, decision=decision, plan=None)


def _more_tools(before: Sequence[Tool], after: object) -> str | None:
    if not isinstance(after, list | tuple):
        return f"it returned a {type(after).__name__}, not a list of tools"
    known = {id(tool) for tool in before}
    return None if all(id(tool) in known for tool in after) else "it added a tool"


def _no_arguments(before: object, after: object) -> str | None:
    return None if isinstance(after, Mapping) else f"it returned a {type(after).__name__}, not arguments"


def _another_result(before: CallResult, after: object) -> str | None:
    if not isinstance(after, CallResult):
        return f"it returned a {type(after).__name__}, not a result"
    if after.status != before.status and (before.status != "ok" or after.status != "error"):
        return f"it made {after.status!r} of {before.status!r}"
    same = ("call_id", "tool", "decision", "approval_id", "sandbox", "exit_code", "signal")
    changed = next((name for name in same if getattr(before, name) != getattr(after, name)), None)
    return None if changed is None else f"it changed `{changed}`"
