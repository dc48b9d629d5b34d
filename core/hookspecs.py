"""Every hook, once.

Host and worker use the same specifications: the host registers a proxy for each plugin, which answers from what the
plugin declared; the plugin's own module is registered only inside its sandbox. The hooks after those two are for
trusted extensions alone, and `toolhost.hooks` calls them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from toolhost.audit import AuditRecord
    from toolhost.authoring import Toolbox
    from toolhost.extensions import Identity, IncomingRequest, Verdict
    from toolhost.host import Host
    from toolhost.model import Actor, Call, CallResult, Decision, Tool
    from toolhost.policy import Request
    from toolhost.sandbox.plan import SandboxPlan

__all__ = [
    "PROJECT",
    "SYNC_HOOKS",
    "WORKER_HOOKS",
    "Register",
    "actor_from_request",
    "authorize_tool_call",
    "filter_tools",
    "hookimpl",
    "hookspec",
    "plugin_info",
    "prepare_arguments",
    "register_tools",
    "shutdown",
    "startup",
    "tighten_sandbox",
    "tool_call_wrapper",
    "track_event",
    "transform_result",
]

PROJECT = "toolhost"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """What `register_tools` is given."""

    def __call__(self, tool: Callable[..., Any] | Toolbox, /, *, name: str | None = None) -> None:
        """Declare one tool, or those of a toolbox.

        Args:
            tool: A typed function with a docstring, sync or async; or a toolbox.
            name: The tool's name, if it is not the function's.
        """


@hookspec
def plugin_info() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Static facts: `name`, `version`, and optionally `homepage`.

    Called once at each load, in the plugin's sandbox. `name` and `version`, where given, must be the manifest's:
    anything else quarantines the plugin, and so does an exception.
    """


@hookspec
def register_tools(register: Register) -> None:
    """Declare the plugin's tools: `register(function)` for each.

    Called once at each load, in the plugin's sandbox, before any call. An exception, a tool that cannot be described or
    two tools of one name quarantine the plugin; other plugins are unaffected.
    """


# -- trusted extensions: code with the host's own power, imported only where the operator lists it -------------------


@hookspec
async def startup(host: Host) -> None:
    """The host is put together and about to serve.

    May be sync or async; five seconds. An exception keeps the host from starting.
    """


@hookspec
async def shutdown(host: Host) -> None:
    """The host is about to end: its parts still work. Called in the reverse order of `startup`.

    May be sync or async; five seconds. An exception is logged.
    """


@hookspec
async def actor_from_request(request: IncomingRequest) -> Identity | None:
    """Who sends a request, before any cookie is looked at; one with an Authorization header is judged by that alone.

    The first answer that is not None counts. May be sync or async; five seconds. An exception, or no answer in that
    time, refuses the request.
    """


@hookspec
def filter_tools(actor: Actor, tools: Sequence[Tool]) -> Sequence[Tool]:  # type: ignore[empty-body]
    """Which of the tools that a policy grants somebody are offered to them, and can be called by them.

    A chain: each gets what the one before it left, and may only take away. Sync: tools are listed in many places. An
    exception, or a tool that was not there, leaves nobody any tool.
    """


@hookspec
async def prepare_arguments(tool: Tool, actor: Actor, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Change a call's arguments before they are checked by the tool's schema, decided, shown and approved.

    A chain: each gets what the one before it returned; None changes nothing. What was asked is recorded beside what
    runs. May be sync or async; two seconds. An exception refuses the call.
    """


@hookspec
def tighten_sandbox(call: Request, plan: SandboxPlan) -> SandboxPlan | None:
    """Take something away from what a call will have: fewer folders, hosts and programs, smaller limits.

    A chain: each gets what the one before it returned; None changes nothing. Sync, and called by `explain` as well. An
    exception, or a plan that is wider in anything, denies the call.
    """


@hookspec
async def authorize_tool_call(call: Call, plan: SandboxPlan, decision: Decision) -> Verdict | None:
    """Whether a call may go ahead, or a person is asked first. The policy's own decision is the floor.

    A gate: each is called, and the strictest answer counts; None says nothing. Called for what a running tool asks the
    host for, too, and again when a question is answered. May be sync or async; five seconds. An exception denies the
    call.
    """


@hookspec
def tool_call_wrapper(call: Call) -> AsyncIterator[None]:  # type: ignore[empty-body]
    """Stand around a call while it runs: an async generator, or a generator, with exactly one `yield`.

    What it raises before the `yield`, or no `yield` within five seconds, ends the call before it runs; what it raises
    after it withholds the result.
    """


@hookspec
async def transform_result(call: Call, result: CallResult) -> CallResult | None:
    """Change a result before anybody sees it: mask, shorten. It stays the result of its call, and a failure one.

    A chain: each gets what the one before it returned; None changes nothing. While there is one, output is not shown as
    it comes, but with the result. May be sync or async; two seconds. An exception withholds the result.
    """


@hookspec
async def track_event(event: AuditRecord) -> None:
    """Something was written into the audit log. It is there already, and nothing that happens here changes that.

    Called behind everything else, one event after the other. May be sync or async; five seconds. An exception is logged
    and counted; after five in a row this one is not called any more.
    """


WORKER_HOOKS = frozenset({"plugin_info", "register_tools"})
"""What a plugin may implement."""

SYNC_HOOKS = frozenset({"filter_tools", "tighten_sandbox", "tool_call_wrapper"})
"""Hooks whose implementations are no coroutine functions."""
