"""From a policy file to a policy, or to everything that is wrong with it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolhost.policy.document import Document, DocumentError, parse_document, read_bytes
from toolhost.policy.environment import loads_code
from toolhost.policy.examples import Example, failing
from toolhost.policy.limit_table import LIMITS, read_limits
from toolhost.policy.path_table import read_inner, read_protected, read_roots
from toolhost.policy.places import Places
from toolhost.policy.problems import Place, Problem, near
from toolhost.policy.programs import RUNS_CODE, denying_whole, runs_code
from toolhost.policy.rule_table import read_denies, read_rules
from toolhost.policy.table import Located, Table
from toolhost.policy.values import ROLES, HostPolicy, Policy, Rule, ToolRule, Who
from toolhost.sandbox import PlanRefused, pin
from toolhost.sandbox.plan import Program

__all__ = ["RESERVED", "Loaded", "load_policy"]

RESERVED = ("host", "lock")
"""Names that no plugin has, because the policies folder uses them."""

_KEYS = (
    "plugin",
    "about",
    "runs_code",
    "exec",
    "isolation",
    "require",
    "support",
    "tools",
    "commands",
    "paths",
    "network",
    "limits",
    "env",
    "secrets",
    "who",
    "config",
    "tests",
)
_TABLES = {
    "tools": ("allow", "ask", "deny"),
    "commands": ("allow", "ask", "deny", "inside"),
    "paths": ("read", "write", "deny", "protect"),
    "network": ("allow", "any"),
    "env": ("set", "pass"),
    "who": ("roles", "users", "scopes"),
}
_ELSEWHERE = {
    key: f"[{table}]"
    for table, keys in (
        ("commands", ("inside",)),
        ("paths", ("read", "write", "protect")),
        ("env", ("set", "pass")),
        ("who", ("roles", "users", "scopes")),
        ("limits", tuple(LIMITS)),
    )
    for key in keys
}
_PLUGIN = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of a file: a policy, or problems; never half of each."""

    policy: Policy | None = None
    problems: tuple[Problem, ...] = field(default=())


def load_policy(path: Path, file: str, *, host: HostPolicy, places: Places) -> Loaded:
    """Read, check and compile one plugin's policy.

    Args:
        path: The file.
        file: Its name in messages.
        host: The host policy it must respect.
        places: The folders no root may touch.
    """
    try:
        data = read_bytes(path, file)
        document = parse_document(data, file)
    except DocumentError as error:
        return Loaded(problems=(error.problem,))
    problems: list[Problem] = []
    policy = _Reader(document, problems, host, places).read(path.stem, _digest(host.content, data))
    if problems:
        return Loaded(problems=tuple(sorted(problems, key=lambda problem: (problem.line, problem.column))))
    return Loaded(policy=policy)


def _digest(*contents: bytes) -> str:
    """Over each content's own digest, so that moving bytes from one file to the other changes it."""
    return "sha256:" + hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in contents)).hexdigest()


class _Reader:
    def __init__(self, document: Document, problems: list[Problem], host: HostPolicy, places: Places) -> None:
        self._problems = problems
        self._host = host
        self._places = places
        self._top = Table(document, problems, _KEYS, elsewhere=_ELSEWHERE)

    def read(self, name: str, digest: str) -> Policy | None:
        """Everything the file says; None or a policy not to be used where problems were found."""
        top = self._top
        plugin = top.text("plugin", required=True)
        if plugin is not None:
            self._check_plugin(plugin, name)
        self._refuse_unsupported()
        tools = tuple(self._tools())
        commands = top.table("commands", _TABLES["commands"])
        rules = [
            *read_rules(commands, "allow", "allow", self._host.maxima),
            *read_rules(commands, "ask", "ask", self._host.maxima),
        ]
        inside = commands.strings("inside")
        declared = self._runs_code()
        programs, missing = self._programs([*_named(rules), *self._inside(inside)], declared)
        paths = top.table("paths", _TABLES["paths"])
        roots = read_roots(paths, self._places, self._host.allowed)
        limits = read_limits(top.table("limits", LIMITS), self._host.maxima)
        about = top.text("about")
        policy = Policy(
            plugin=name,
            file=self._file,
            about=about.text if about else "",
            digest=digest,
            tools=tools,
            rules=tuple(rules),
            denies=tuple(read_denies(commands)),
            programs=programs,
            inside=tuple(item.text for item in inside),
            missing=missing,
            roots=roots,
            hidden=read_inner(paths, "deny"),
            protected=read_protected(paths),
            executable=top.flag("exec"),
            support=self._support(),
            limits={limit: value for limit, (value, _) in limits.items()},
            env=self._env(),
            who=self._who(),
            warnings=tuple(self._warnings(missing, rules)),
        )
        self._run_examples(policy)
        return policy

    @property
    def _file(self) -> str:
        return self._top.place().file

    def _report(self, place: Place, code: str, message: str) -> None:
        self._problems.append(Problem.at(place, code, message))

    def _check_plugin(self, plugin: Located, name: str) -> None:
        if not _PLUGIN.fullmatch(plugin.text) or plugin.text in RESERVED:
            self._report(plugin.place, "bad_value", f"`{plugin.text}` is no name of a plugin.")
        elif plugin.text != name:
            self._report(plugin.place, "wrong_plugin", f'The file is named {name}.toml, so `plugin` must be "{name}".')

    def _refuse_unsupported(self) -> None:
        """Keys of the language whose enforcement does not exist yet: refused, never ignored."""
        top = self._top
        isolation = top.text("isolation")
        if isolation is not None and isolation.text != "call":
            if isolation.text == "conversation":
                self._report(isolation.place, "not_supported_yet", '`isolation = "conversation"` is not supported yet.')
            else:
                self._report(isolation.place, "bad_value", '`isolation` must be "call" or, later, "conversation".')
        for item in top.strings("require")[:1]:
            self._report(item.place, "not_supported_yet", "`require` is not supported yet.")
        for key in ("secrets", "config"):
            table = top.table(key, None)
            if table:
                self._report(top.key_place(key), "not_supported_yet", f"[{key}] is not supported yet.")
        network = top.table("network", _TABLES["network"])
        network.flag("any")
        for item in network.strings("allow")[:1]:
            self._report(
                item.place, "not_supported_yet", "`network.allow` is not supported yet: no network is granted."
            )

    def _tools(self) -> Iterator[ToolRule]:
        table = self._top.table("tools", _TABLES["tools"])
        for outcome in ("allow", "ask", "deny"):
            for item in table.strings(outcome):
                if not _TOOL.fullmatch(item.text):
                    self._report(
                        item.place,
                        "bad_value",
                        f"`{item.text}` is no name of a tool: write each tool's name, without the plugin's.",
                    )
                yield ToolRule(outcome=outcome, name=item.text, place=item.place)

    def _runs_code(self) -> frozenset[str]:
        known = [name for names in RUNS_CODE.values() for name in names.split()]
        declared = set()
        for item in self._top.strings("runs_code"):
            name = runs_code(item.text)
            if name is None:
                self._report(
                    item.place,
                    "bad_value",
                    f"`{item.text}` is not in the table of programs that run code; only those are listed here."
                    f"{near(item.text, known)}",
                )
            else:
                declared.add(name)
        return frozenset(declared)

    def _inside(self, items: Iterable[Located]) -> Iterator[tuple[str, Place]]:
        for item in items:
            name = item.text
            if " " in name or not name or name.startswith("-") or (("/" in name) and not name.startswith("/")):
                self._report(
                    item.place, "bad_program", f"`{name}`: `inside` holds names of programs, without arguments."
                )
            else:
                yield name, item.place

    def _programs(
        self, named: Iterable[tuple[str, Place]], declared: frozenset[str]
    ) -> tuple[dict[str, Program], dict[str, str]]:
        """Pin every program; what this machine lacks is told apart from what may not be named."""
        programs: dict[str, Program] = {}
        missing: dict[str, str] = {}
        judged: set[str] = set()
        for name, place in named:
            if name in judged:
                continue
            judged.add(name)
            try:
                programs[name] = pin(name)
            except PlanRefused as refused:
                missing[name] = f"{refused.message} {refused.hint}".strip()
            pinned = programs.get(name)
            kind = runs_code(name) or (runs_code(pinned.target) if pinned else None)
            if kind is not None and kind not in declared:
                self._report(
                    place,
                    "runs_code",
                    f'`{name}` runs any code it is given: list it, runs_code = ["{kind}"], if that is meant.',
                )
            deny = denying_whole(self._host.denies, name, pinned)
            if deny is not None:
                self._report(place, "host_deny", f"`{name}` is denied to every plugin by {deny.place} (`{deny.text}`).")
        return programs, missing

    def _support(self) -> tuple[str, ...]:
        found = []
        for item in self._top.strings("support"):
            plain = item.text.startswith("/") and os.path.normpath(item.text) == item.text and item.text.isprintable()
            if not plain or not item.text.startswith(("/usr/", "/opt/", "/var/lib/", "/srv/")):
                self._report(
                    item.place,
                    "bad_value",
                    f"`{item.text}`: `support` holds absolute paths of data that programs need, under /usr, /opt, "
                    "/var/lib or /srv.",
                )
                continue
            found.append(item.text)
        return tuple(found)

    def _env(self) -> tuple[tuple[str, str], ...]:
        table = self._top.table("env", _TABLES["env"])
        variables: dict[str, str] = {}
        for item in table.strings("pass"):
            if self._check_variable(item.text, item.place) and item.text in os.environ:
                variables[item.text] = os.environ[item.text]
        values = table.table("set", None)
        for name in values.names():
            value = values.text(name)
            if value is None or not self._check_variable(name, values.key_place(name)):
                continue
            if not value.text.isprintable():
                self._report(value.place, "bad_value", f"The value of {name} holds a control character.")
            variables[name] = value.text
        return tuple(sorted(variables.items()))

    def _check_variable(self, name: str, place: Place) -> bool:
        if not _VARIABLE.fullmatch(name):
            self._report(place, "bad_value", f"`{name}` is no name of a variable.")
            return False
        if loads_code(name):
            self._report(
                place, "env_loads_code", f"{name} can make programs load code or run others; it cannot be set."
            )
            return False
        return True

    def _who(self) -> Who:
        table = self._top.table("who", _TABLES["who"])
        for item in table.strings("scopes")[:1]:
            self._report(item.place, "not_supported_yet", "`who.scopes` is not supported yet.")
        for item in table.strings("roles"):
            if item.text not in ROLES:
                self._report(
                    item.place,
                    "bad_value",
                    f"`{item.text}` is no role that may run tools.{near(item.text, ROLES)} Roles: {', '.join(ROLES)}.",
                )
        roles = tuple(item.text for item in table.strings("roles"))
        users = tuple(item.text for item in table.strings("users"))
        # Whoever lists users and no roles means these users, and an emptied list means nobody.
        default = () if "users" in table else ROLES
        return Who(roles=roles if "roles" in table else default, users=users, place=self._top.key_place("who"))

    def _warnings(self, missing: dict[str, str], rules: Iterable[Rule]) -> Iterator[str]:
        for name, why in missing.items():
            yield f"{self._file}: program_missing: `{name}` cannot be used on this machine: {why}"

    def _run_examples(self, policy: Policy) -> None:
        examples = []
        for table in self._top.tables("tests", ("run", "tool", "arguments", "expect", "because")):
            run, tool, because = table.text("run"), table.text("tool"), table.text("because")
            expect = table.text("expect", required=True)
            table.table("arguments", None)
            if (run is None) == (tool is None):
                self._report(table.place(), "bad_value", "An example has either `run` or `tool`.")
            elif expect is not None and expect.text not in ("allow", "ask", "deny"):
                self._report(
                    expect.place,
                    "bad_value",
                    f"`expect` is allow, ask or deny.{near(expect.text, ('allow', 'ask', 'deny'))}",
                )
            elif expect is not None:
                examples.append(
                    Example(
                        run=run.text if run else None,
                        tool=tool.text if tool else None,
                        expect=expect.text,
                        because=because.text if because else "",
                        place=table.place(),
                    )
                )
        if not self._problems:  # a policy that is not valid decides nothing, examples neither
            self._problems.extend(failing(examples, policy, self._host))


def _named(rules: Iterable[Rule]) -> Iterator[tuple[str, Place]]:
    return ((rule.template.program, rule.place) for rule in rules)
