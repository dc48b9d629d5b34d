"""The first stage of a decision: everything that has to be looked up, as facts. All the I/O is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from posixpath import basename
from typing import Any

from toolhost.policy.deny import denies_arguments, denies_program
from toolhost.policy.index import DenyIndex
from toolhost.policy.lookup import Lookup
from toolhost.policy.overlaps import apart
from toolhost.policy.programs import denying, names_of
from toolhost.policy.request import Facts, Match, Refusal, Request
from toolhost.policy.template import PathValue, Taken
from toolhost.policy.values import WORKSPACE, DenyRule, HostPolicy, Policy, Rule
from toolhost.sandbox import PlanRefused, root
from toolhost.sandbox.destinations import EgressRefused, is_allowed, parse_url
from toolhost.sandbox.plan import Program, Root

__all__ = ["INSIDE_WORKSPACE", "PATH_FORMATS", "PLUGIN_FILES", "SCRATCH", "path_format", "resolve", "resolve_example"]

INSIDE_WORKSPACE = "/workspace"
"""Where the workspace stands inside."""

PLUGIN_FILES = "/plugin"
"""Where the files of a plugin that is an MCP server stand inside."""

SCRATCH = "/tmp"  # noqa: S108 - the sandbox's own
"""The private folder every sandbox has."""

PATH_FORMATS = {"read-path": False, "write-path": True}
"""The formats by which a schema marks a path, and whether it is one to write."""


def resolve(request: Request, policy: Policy | None, host: HostPolicy) -> Facts:
    """Look up what a decision on a request depends on.

    Args:
        request: The request.
        policy: The plugin's policy, or None.
        host: The host policy.
    """
    return _resolve(request, policy, host, _make_roots, lexical=False)


def resolve_example(request: Request, policy: Policy, host: HostPolicy) -> Facts:
    """The same for an example in a policy file: paths are compared by name, and no file is touched."""
    return _resolve(request, policy, host, _imagine_roots, lexical=True)


def _resolve(
    request: Request,
    policy: Policy | None,
    host: HostPolicy,
    make_roots: Callable[[Request, Policy], tuple[Root, ...]],
    *,
    lexical: bool,
) -> Facts:
    if request.errand == "fetch":
        return _fetch(request, policy)
    if policy is None:
        return Facts(request=request, host_denies=_denies(host.deny_index, request.argv, None))
    program = None if request.argv is None or not request.argv else _program(request.argv[0], policy)
    host_denies = _denies(host.deny_index, request.argv, program)
    denies = _denies(policy.deny_index, request.argv, program)
    try:
        roots = make_roots(request, policy)
    except PlanRefused as refused:
        return Facts(
            request=request,
            program=program,
            host_denies=host_denies,
            denies=denies,
            refusal=Refusal(code=refused.code, reason=f"{refused.message} {refused.hint}".strip()),
        )
    cwd, refusal = _working_folder(request, roots, lexical=lexical)
    matches: tuple[Match, ...] = ()
    arguments = request.arguments
    steady = not lexical and (request.argv is None or request.cwd in (WORKSPACE, SCRATCH))
    if refusal is None:
        with Lookup(roots, cwd, lexical=lexical) as lookup:
            if request.argv is None:
                arguments, refusal = _path_arguments(request, lookup)
            elif request.argv:
                matches = tuple(_matches(request.argv, program, policy, lookup, every=lexical))
            steady = steady and not lookup.used
    return Facts(
        request=request,
        roots=roots,
        cwd=cwd,
        program=program,
        host_denies=host_denies,
        denies=denies,
        matches=matches,
        asks=_asks(request.argv, program, policy, matches),
        arguments=arguments,
        refusal=refusal,
        steady=steady,
    )


# -- commands ----------------------------------------------------------------------------------------------------------


def _program(requested: str, policy: Policy) -> Program | None:
    """The pinned program a command means: by the name a rule writes, or by the very path that name was pinned to."""
    known = policy.programs.get(requested)
    if known is None and requested.startswith("/"):
        return next((program for program in policy.programs.values() if program.path == requested), None)
    return known


def _denies(index: DenyIndex, argv: tuple[str, ...] | None, program: Program | None) -> tuple[DenyRule, ...]:
    if not argv or not index:
        return ()
    identity = None if program is None else (program.device, program.inode)
    candidates = index.candidates(names_of(argv[0], program), identity, argv[1:])
    meant = denying(candidates, argv[0], program)
    return tuple(rule for rule in meant if denies_arguments(rule.template, argv[1:]))


def _matches(
    argv: tuple[str, ...], program: Program | None, policy: Policy, lookup: Lookup, *, every: bool
) -> Iterable[Match]:
    """The rules that match, up to the first that can be used: it decides. Or every one, for who wants to know them."""
    names = {argv[0]} | ({program.name} if program else set())
    for rule in policy.rule_index.candidates(names, argv[1:]):
        spelled = rule.template.match(argv[1:])
        if spelled is not None:
            match = _looked_up(rule, spelled, lookup, policy.network_of(rule))
            yield match
            if match.refusal is None and not every:
                return


def _asks(
    argv: tuple[str, ...] | None, program: Program | None, policy: Policy, matches: Iterable[Match]
) -> tuple[Rule, ...]:
    """The asks that mean a command by another spelling, which an allow of any arguments would let through unasked."""
    if not argv or not any(match.rule.outcome == "allow" and match.rule.template.open for match in matches):
        return ()
    names = names_of(argv[0], program)
    return tuple(
        rule
        for rule in policy.rules
        if rule.outcome == "ask"
        and rule.template.places  # without any it is about the program alone; a deny's would be about all of its uses
        and (denies_program(rule.template, names) or _by_another_path(rule, names, program, policy))
        and denies_arguments(rule.template, argv[1:])
    )


def _by_another_path(rule: Rule, names: frozenset[str], program: Program | None, policy: Policy) -> bool:
    """Whether a rule's path leads to the very file of a program. By another name it is another program: what one file
    does (busybox) is told by how it is called.
    """
    written = rule.template.program
    pinned = policy.programs.get(written)
    return (
        program is not None
        and pinned is not None
        and basename(written) in names
        and (pinned.device, pinned.inode) == (program.device, program.inode)
    )


def _looked_up(rule: Rule, spelled: Sequence[Taken], lookup: Lookup, network: Sequence[str]) -> Match:
    """The match with every path as it is inside and every address judged."""
    arguments: list[str] = []
    for word in spelled:
        if isinstance(word, str):
            arguments.append(word)
            continue
        if isinstance(word, PathValue):
            found = lookup.path(word.value, write=word.write)
            spelling = found if isinstance(found, Refusal) else found.spelled
        else:
            spelling = _address(word.value, network)
        if isinstance(spelling, Refusal):
            return Match(rule=rule, refusal=spelling)
        arguments.append(word.flag + spelling)
    if any("\0" in word for word in arguments):
        return Match(rule=rule, refusal=Refusal(code="bad_argument", reason="An argument holds a NUL character."))
    return Match(rule=rule, arguments=tuple(arguments))


def _address(url: str, network: Sequence[str]) -> str | Refusal:
    """An address as the program gets it: only one whose host every program reads alike, and that may be reached."""
    try:
        _, host, port = parse_url(url)
    except EgressRefused as refused:
        return Refusal(code=refused.code, reason=refused.message)
    if not is_allowed(host, port, network):
        return Refusal(
            code="destination_not_allowed", reason=f"{host}:{port} is not among the hosts this tool may reach."
        )
    return url


def _fetch(request: Request, policy: Policy | None) -> Facts:
    """Nothing is looked up here: names are resolved when the connection is made, and judged again."""
    assert request.argv is not None
    network = () if policy is None else policy.network
    found = _address(request.argv[1], network)
    return Facts(request=request, refusal=found if isinstance(found, Refusal) else None, steady=True)


# -- roots and the working folder --------------------------------------------------------------------------------------


def _make_roots(request: Request, policy: Policy) -> tuple[Root, ...]:
    roots = [
        root(
            source,
            target,
            writable=writable,
            executable=policy.executable and writable,
            hidden=policy.hidden,
            hidden_globs=policy.hidden_globs,
            protected=policy.protected if writable else (),
        )
        for source, target, writable in _granted(request, policy)
    ]
    if request.server is not None:
        roots.append(root(request.server.folder, PLUGIN_FILES, hidden=request.server.hidden))
    return apart(roots, policy.support)


def _imagine_roots(request: Request, policy: Policy) -> tuple[Root, ...]:
    roots = [
        Root(
            source=source,
            target=target,
            device=0,
            inode=0,
            writable=writable,
            hidden=policy.hidden,
            hidden_globs=policy.hidden_globs,
            protected=policy.protected if writable else (),
        )
        for source, target, writable in _granted(request, policy)
    ]
    return apart(roots, policy.support)


def _granted(request: Request, policy: Policy) -> list[tuple[str, str, bool]]:
    """Source, target and writability of each root, outer before inner."""
    found = [
        (request.workspace, INSIDE_WORKSPACE, grant.writable and request.workspace_writable)
        if grant.path == WORKSPACE
        else (grant.path, grant.path, grant.writable)
        for grant in policy.roots
    ]
    return sorted(found, key=lambda item: (item[1].count("/"), item[1]))


def _working_folder(request: Request, roots: Sequence[Root], *, lexical: bool) -> tuple[str, Refusal | None]:
    wanted = request.cwd
    if request.argv is None or wanted == WORKSPACE:
        # A tool that is granted no workspace starts in its own empty folder, and there is nothing else to start in.
        granted = any(item.target == INSIDE_WORKSPACE for item in roots)
        return INSIDE_WORKSPACE if granted else SCRATCH, None
    if wanted == SCRATCH:
        return SCRATCH, None
    if not wanted.startswith("/"):
        return SCRATCH, Refusal(code="cwd_outside_roots", reason=f"The working folder `{wanted}` is not absolute.")
    with Lookup(roots, SCRATCH, lexical=lexical) as lookup:
        found = lookup.folder(wanted)
    return (SCRATCH, found) if isinstance(found, Refusal) else (found.inside, None)


# -- path arguments of worker tools ------------------------------------------------------------------------------------


def _path_arguments(request: Request, lookup: Lookup) -> tuple[Mapping[str, Any], Refusal | None]:
    """The arguments with every path as it is inside, or why one of them cannot be used."""
    properties = request.tool.input_schema.get("properties", {})
    changed: dict[str, Any] = dict(request.arguments)
    for name, value in request.arguments.items():
        write = path_format(properties.get(name, {}))
        if write is None or value is None:
            continue
        values = value if isinstance(value, list) else [value]
        spelled = []
        for item in values:
            found = lookup.path(item, write=write) if isinstance(item, str) else None
            if found is None or isinstance(found, Refusal):
                return request.arguments, found or Refusal(code="bad_path", reason=f"`{name}` must be a path.")
            spelled.append(found.spelled)
        changed[name] = spelled if isinstance(value, list) else spelled[0]
    return changed, None


def path_format(schema: Mapping[str, Any]) -> bool | None:
    """Whether a schema describes paths to write (True) or to read (False), itself or as items; else None."""
    if schema.get("format") in PATH_FORMATS:
        return PATH_FORMATS[schema["format"]]
    inner = [schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    found = [path_format(part) for part in inner if isinstance(part, Mapping)]
    return max((write for write in found if write is not None), default=None)
