"""Every hook, once.

Host and worker use the same specifications: the host registers a proxy for each plugin, which answers from what the
plugin declared; the plugin's own module is registered only inside its sandbox. The hooks after those two are for
trusted extensions alone, and `toolhost.hooks` calls them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from toolhost.audit import AuditRecord
    from toolhost.authoring import Toolbox
    from toolhost.extensions import Explanation, Identity, IncomingRequest, Objection, Verdict
    from toolhost.host import Host
    from toolhost.model import Actor, Call, CallResult, Decision, Tool
    from toolhost.policy import Policy, Request
    from toolhost.policy.difference import Difference
    from toolhost.sandbox.plan import SandboxPlan
    from toolhost.settings import Settings

__all__ = [
    "OBSERVING_HOOKS",
    "PROJECT",
    "SYNC_HOOKS",
    "WORKER_HOOKS",
    "Register",
    "actor_allowed",
    "actor_from_request",
    "after_exec",
    "authorize_tool_call",
    "before_exec",
    "filter_tools",
    "hookimpl",
    "hookspec",
    "plugin_info",
    "policy_loaded",
    "prepare_arguments",
    "register_commands",
    "register_routes",
    "register_tools",
    "shutdown",
    "startup",
    "tighten_sandbox",
    "tool_call_failed",
    "tool_call_wrapper",
    "track_event",
    "transform_result",
    "validate_policy",
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
def register_commands(settings: Settings) -> Sequence[Any]:  # type: ignore[empty-body]
    """Commands of click that `toolhost extension` runs, each under its own name, as the service user.

    Called when that command is given, and by nothing else; sync. An exception, something that is no command, or a name
    that is taken ends it.
    """


@hookspec
def register_routes(host: Host) -> Sequence[Any]:  # type: ignore[empty-body]
    """Blueprints of Quart that a server mounts below `/-/`, each under its own name.

    Called once, when a server begins; sync. A route is for people who are signed in and for no API key, unless it is
    marked with `toolhost.web.access.requires` or `public`. An exception, or something that is no blueprint, keeps the
    server from starting.
    """


@hookspec
def validate_policy(plugin: str, policy: Policy) -> Iterable[Objection] | None:
    """What a house rule has against a policy that is otherwise valid; nothing, or None, lets it be.

    A gate: each is called, and any objection keeps that version of that policy from taking effect; the last good one
    stays in force. Sync: the folder is read in a thread. An exception is an objection.
    """


@hookspec
async def policy_loaded(plugin: str, policy: Policy | None, diff: Sequence[Difference]) -> None:
    """A policy is in force, or is not any more (None); `diff` says what it grants more or less than the one before.

    Called behind everything else, as `track_event` is; of the policies that were there when the host was started, too.
    May be sync or async; five seconds.
    """


@hookspec
async def actor_from_request(request: IncomingRequest) -> Identity | None:
    """Who sends a request, before any cookie is looked at; one with an Authorization header is judged by that alone.

    The first answer that is not None counts. May be sync or async; five seconds. An exception, or no answer in that
    time, refuses the request.
    """


@hookspec
async def actor_allowed(actor: Actor, action: str, resource: str) -> Verdict | None:
    """Whether somebody may do something that their role and scopes allow. Those are the floor: a `deny` adds to them.

    A gate, asked at each request of a server with the right that its route needs and its path, and before each call
    with `tools:run` and the tool's name. May be sync or async; five seconds. An exception, or an answer other than
    `allow` and None, refuses.
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
async def before_exec(call: Call, plan: SandboxPlan) -> None:
    """A call has its turn and its sandbox is asked for: a process of its own, or its plugin's worker.

    Called behind everything else, as `track_event` is. May be sync or async; five seconds.
    """


@hookspec
async def after_exec(call: Call, plan: SandboxPlan, result: CallResult) -> None:
    """The same has ended, by itself or by a limit; the result is not transformed yet. Of a call that was cancelled
    nothing is told.

    Called behind everything else, as `track_event` is. May be sync or async; five seconds.
    """


@hookspec
async def tool_call_failed(call: Call, result: CallResult) -> Explanation | None:
    """Other words for a failure, for whoever reads it: a model, a person. Its code and its status stay.

    The first answer that is not None counts; then comes `transform_result`. May be sync or async; five seconds. An
    exception leaves the failure as it was told.
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

SYNC_HOOKS = frozenset(
    {"filter_tools", "register_commands", "register_routes", "tighten_sandbox", "tool_call_wrapper", "validate_policy"}
)
"""Hooks whose implementations are no coroutine functions."""

OBSERVING_HOOKS = frozenset({"after_exec", "before_exec", "policy_loaded", "track_event"})
"""Hooks that are told of something, behind everything else: nobody waits for them, and nothing fails with them."""
