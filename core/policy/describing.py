"""The plan by which a plugin's server is asked for its tools: its command as granted, nothing that it works on."""

from __future__ import annotations

from dataclasses import replace

from toolhost.errors import PluginError
from toolhost.model import Tool
from toolhost.policy.decide import decide
from toolhost.policy.examples import served_actor
from toolhost.policy.planning import plan
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.request import Request, ServerFiles
from toolhost.policy.resolve import INSIDE_WORKSPACE, PLUGIN_FILES, resolve_example
from toolhost.sandbox import root
from toolhost.sandbox.plan import Root, SandboxPlan
from toolhost.shown import token

__all__ = ["describing_plan"]


def describing_plan(
    plugin: str, argv: tuple[str, ...], files: ServerFiles, digest: str, policies: PolicySet, empty: str
) -> SandboxPlan:
    """The plan that describes a server.

    It has the programs, the support, the environment and the limits that the policy grants the server's command, but no
    network and no secrets, and where the policy names a folder there is an empty one: a server may want to be told of a
    folder to start.

    Args:
        plugin: The plugin.
        argv: The server's command, as the plugin's manifest has it.
        files: The plugin's files.
        digest: The digest of them.
        policies: The policies of one moment.
        empty: An empty folder of the host's.

    Raises:
        PluginError: `server_not_granted`, or `policy_invalid`.
    """
    policy = policies.policy(plugin)
    if policy is None:
        problem = next((one for one in policies.problems if one.file in (f"{plugin}.toml", "host.toml")), None)
        if problem is not None:
            raise PluginError("policy_invalid", f"Its policy cannot be used: {problem}")
        raise PluginError(
            "server_not_granted",
            f"It is an MCP server, and without a policy nothing may start it: {_line(argv)}.",
            f"Write {plugin}.toml with a rule for that in [commands], or `toolhost plugin enable {plugin}` if it asks.",
        )
    # As a command of its own: the rule under which it starts decides here, the names in [tools] decide each call.
    request = Request(
        tool=Tool(name=f"{plugin}.", plugin=plugin, about="", input_schema={}, plugin_digest=digest),
        actor=served_actor(policy),
        argv=argv,
        workspace=INSIDE_WORKSPACE,
    )
    facts = resolve_example(request, policy, policies.host)
    decision = decide(facts, policy, policies.host)
    if decision.outcome == "deny":
        raise PluginError(
            "server_not_granted",
            f"{policy.file} does not let its server start ({_line(argv)}): {decision.reason}",
            decision.hint,
        )
    granted = plan(facts, decision, policy, policies.host)
    return replace(
        granted,
        kind="worker",
        tool=plugin,
        roots=(*_empty(granted.roots, empty), root(files.folder, PLUGIN_FILES, hidden=files.hidden)),
        network=(),
        secrets=(),
        isolation="call",
        conversation="",
        policy_digest="",
    )


def _line(argv: tuple[str, ...]) -> str:
    return " ".join(map(token, argv))


def _empty(roots: tuple[Root, ...], empty: str) -> list[Root]:
    """An empty folder wherever a call will have one; not for a root within another, whose place could not be made."""
    targets = [one.target for one in roots]
    outer = [target for target in targets if not any(target.startswith(f"{other}/") for other in targets)]
    return [root(empty, target) for target in outer]
