"""From a policy file to a policy, or to everything that is wrong with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from toolhost.model import DecisionOutcome
from toolhost.policy.config_table import NONE_DECLARED, Declared, read_config
from toolhost.policy.document import Document, DocumentError, parse_document
from toolhost.policy.env_table import ENV_KEYS, read_env
from toolhost.policy.example_table import read_examples
from toolhost.policy.examples import Trial, tried, uncovered
from toolhost.policy.keys import ASK_TOOL, POLICY
from toolhost.policy.limit_table import LIMITS, read_limits, read_require
from toolhost.policy.network_table import NETWORK_KEYS, NetworkTerms, hosts_for, read_hosts
from toolhost.policy.path_table import read_hidden, read_protected, read_roots
from toolhost.policy.places import Places
from toolhost.policy.problems import Problem, near
from toolhost.policy.program_table import read_inside, read_programs, read_runs_code, read_support
from toolhost.policy.rule_table import read_denies, read_rules, read_standing
from toolhost.policy.secret_table import read_secrets
from toolhost.policy.table import Located, Table
from toolhost.policy.values import DenyRule, HostPolicy, Policy, RootGrant, Rule, SecretSource, ToolRule
from toolhost.policy.who_table import WHO_KEYS, read_who

__all__ = ["RESERVED", "Loaded", "load_policy"]

RESERVED = ("host", "lock")
"""Names that no plugin has, because the policies folder uses them."""

_KEYS = tuple(POLICY)
_TOOL_KEYS: tuple[DecisionOutcome, ...] = ("allow", "ask", "deny")
_COMMAND_KEYS = tuple(POLICY["commands"].keys or ())
_PATH_KEYS = tuple(POLICY["paths"].keys or ())
_ELSEWHERE = {
    **dict.fromkeys(("inside",), "[commands]"),
    **dict.fromkeys(("read", "write", "protect"), "[paths]"),
    **dict.fromkeys(("any",), "[network]"),
    **dict.fromkeys(ENV_KEYS, "[env]"),
    **dict.fromkeys(WHO_KEYS, "[who]"),
    **dict.fromkeys(LIMITS, "[limits]"),
}
_ISOLATION = ("call", "conversation")
_PLUGIN = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of a file: a policy and the bytes it is made of, or problems; never half of each."""

    policy: Policy | None = None
    content: bytes | None = None
    problems: tuple[Problem, ...] = field(default=())
    document: Document | None = None
    trials: tuple[Trial, ...] = ()
    uncovered: tuple[Rule | DenyRule | ToolRule, ...] = ()


def load_policy(
    data: bytes, file: str, name: str, *, host: HostPolicy, places: Places, declared: Declared = NONE_DECLARED
) -> Loaded:
    """Check and compile the bytes of one plugin's policy.

    Args:
        data: The file's bytes.
        file: Its name in messages.
        name: Its name without `.toml`, which is the plugin's.
        host: The host policy it must respect.
        places: The folders no root may touch.
        declared: The settings of the plugins there are.
    """
    try:
        document = parse_document(data, file)
    except DocumentError as error:
        return Loaded(problems=(error.problem,))
    problems: list[Problem] = []
    top = Table(document, problems, _KEYS, elsewhere=_ELSEWHERE)
    policy = _read(top, name, _digest(host.content, data), host, places, declared)
    examples = list(read_examples(top))
    # What is not valid decides nothing, examples neither.
    trials = () if problems else tried(examples, policy, host)
    problems.extend(trial.problem for trial in trials if trial.problem is not None)
    if problems:
        problems.sort(key=lambda problem: (problem.line, problem.column))
        return Loaded(problems=tuple(problems), trials=trials)
    return Loaded(policy=policy, content=data, document=document, trials=trials, uncovered=uncovered(trials, policy))


def _digest(*contents: bytes) -> str:
    """Over each content's own digest, so that moving bytes from one file to the other changes it."""
    return "sha256:" + hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in contents)).hexdigest()


def _read(top: Table, name: str, digest: str, host: HostPolicy, places: Places, declared: Declared) -> Policy:
    """Everything a file says; to be used only if no problem was found."""
    _check_name(top, name)
    commands = top.table("commands", _COMMAND_KEYS)
    network = top.table("network", NETWORK_KEYS)
    terms = NetworkTerms(network.flag("any"), host.network_denies)
    rules = (
        *read_rules(commands, "allow", "allow", host.maxima, terms),
        *read_rules(commands, "ask", "ask", host.maxima, terms),
    )
    inside = list(read_inside(commands))
    named = [(rule.template.program, rule.place) for rule in rules] + [(item.text, item.place) for item in inside]
    programs, missing = read_programs(top, named, read_runs_code(top), host)
    paths = top.table("paths", _PATH_KEYS)
    hidden, globs = read_hidden(paths)
    limits = read_limits(top.table("limits", LIMITS), host.maxima)
    about = top.text("about")
    roots = read_roots(paths, places, host.allowed)
    env = read_env(top.table("env", ENV_KEYS))
    isolation = _isolation(top)
    secrets = _secrets(top, roots, [name for name, _ in env], places, isolation)
    file = top.place().file
    settings = top.table("config", None)
    return Policy(
        plugin=name,
        file=file,
        about=about.text if about else "",
        digest=digest,
        tools=tuple(_tools(top, name)),
        rules=rules,
        denies=tuple(read_denies(commands)),
        programs=programs,
        inside=tuple(item.text for item in inside),
        missing=missing,
        roots=roots,
        hidden=hidden,
        hidden_globs=globs,
        protected=read_protected(paths),
        network=hosts_for(read_hosts(network, "allow", terms), host.network_denies),
        network_place=network.place("allow") if "allow" in network else None,
        executable=top.flag("exec"),
        isolation=isolation,
        support=read_support(top),
        limits={limit: value for limit, (value, _) in limits.items()},
        require=read_require(top),
        env=env,
        secrets=secrets,
        config=read_config(settings, name, declared.get(name), top.place()),
        who=read_who(top.table("who", WHO_KEYS), top.key_place("who")),
        warnings=(
            *(
                f"{file}: program_missing: `{program}` cannot be used on this machine: {why}"
                for program, why in missing.items()
            ),
            *_unchecked(settings, name, file, declared),
        ),
    )


def _unchecked(settings: Table, name: str, file: str, declared: Declared) -> Iterator[str]:
    if settings and name not in declared:
        yield f"{file}: config_unchecked: there is no plugin `{name}` to say which settings it has."


def _check_name(top: Table, name: str) -> None:
    plugin = top.text("plugin", required=f'"{name}"')
    if plugin is None:
        return
    if plugin.text in RESERVED:
        top.problem(
            plugin.place,
            "bad_value",
            f"`{plugin.text}` is reserved: {plugin.text}.toml is a file of the policies folder's own.",
        )
    elif not _PLUGIN.fullmatch(plugin.text):
        message = f"`{plugin.text}` is no name of a plugin: one is of a-z, 0-9, `-` and `_`, a letter first."
        top.problem(plugin.place, "bad_value", message)
    elif plugin.text != name:
        top.problem(plugin.place, "wrong_plugin", f'The file is named {name}.toml, so `plugin` must be "{name}".')


def _secrets(
    top: Table,
    roots: tuple[RootGrant, ...],
    env: Iterable[str],
    places: Places,
    isolation: Literal["call", "conversation"],
) -> tuple[SecretSource, ...]:
    found = read_secrets(top.table("secrets", None), roots, places.workspaces, env)
    if found and isolation == "conversation":
        message = 'A secret is there for one call alone: take out `isolation = "conversation"`, or the secrets.'
        top.problem(top.place("isolation"), "bad_value", message)
    return found


def _isolation(top: Table) -> Literal["call", "conversation"]:
    isolation = top.text("isolation")
    if isolation is None or isolation.text == "call":
        return "call"
    if isolation.text != "conversation":
        hint = near(isolation.text, _ISOLATION)
        top.problem(isolation.place, "bad_value", f'`isolation` must be "call" or "conversation".{hint}')
    return "conversation"


def _tools(top: Table, plugin: str) -> Iterator[ToolRule]:
    table = top.table("tools", _TOOL_KEYS)
    for outcome in _TOOL_KEYS:
        for item in table.items(outcome, tables=outcome == "ask"):
            if isinstance(item, Located):
                name: Located | None = item
                standing = False
            else:
                entry = table.item_table(outcome, item, tuple(ASK_TOOL))
                name, standing = entry.text("tool", required='"push"'), read_standing(entry, outcome)
            if name is None:
                continue
            if not _TOOL.fullmatch(name.text):
                table.problem(
                    name.place,
                    "bad_value",
                    f"`{name.text}` is no name of a tool: write each tool's name, without the plugin's.",
                )
            elif name.text.startswith(f"{plugin}."):
                table.problem(
                    name.place,
                    "bad_value",
                    f"`{name.text}` would decide nothing: write the tool's name without the plugin's, "
                    f"`{name.text.removeprefix(f'{plugin}.')}`.",
                )
            yield ToolRule(outcome=outcome, name=name.text, place=name.place, standing=standing)
