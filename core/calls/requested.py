"""What a call asks of the policy, whatever carries it out: a command, a worker, a server, or another call's errand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolhost.calls.errands import stdin_of
from toolhost.model import Call
from toolhost.policy import Request

if TYPE_CHECKING:
    from toolhost.pluginhost import PluginRegistry

__all__ = ["request_of"]


def request_of(call: Call, plugins: PluginRegistry) -> Request:
    """What a call asks of the policy.

    Args:
        call: The call.
        plugins: Whose tools there are: they say what a tool runs.
    """
    tool = call.tool
    runs: dict[str, Any]
    if (errand := call.errand) is not None:
        runs = {
            "argv": errand.argv,
            "cwd": errand.cwd,
            "errand": errand.kind,
            "stdin": stdin_of(errand, call.arguments),
            "wall": errand.wall,
            "runtime": plugins.fetch_runtime() if errand.kind == "fetch" else None,
        }
    elif tool.command is not None:
        runs = {"argv": plugins.argv(tool, call.arguments), "cwd": tool.command.cwd}
    elif tool.server:
        runs = {"argv": tool.server, "server": plugins.server_files(tool)}
    else:
        runs = {"runtime": plugins.runtime(tool)}
    return Request(
        tool=tool,
        actor=call.actor,
        arguments=call.arguments,
        workspace=call.workspace,
        workspace_writable=call.workspace_writable,
        workspace_own=call.workspace_own,
        conversation=f"{call.actor.user_id}/{call.conversation_id}" if call.conversation_id else "",
        **runs,
    )
