"""What a run that failed was lacking, by what it said: programs, files, libraries, modules, room, hosts.

What a program says can be anything, so it only ever names something that is looked for on this machine, and nothing
is proposed that the sandbox of the call had already.
"""

from __future__ import annotations

import os
import re
import stat
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from posixpath import basename, normpath

from toolhost.policy.learn.draft import Proposal
from toolhost.policy.learn.observed import Failure, Note
from toolhost.policy.limit_table import LIMITS, show_limit
from toolhost.policy.programs import runs_code
from toolhost.policy.resolve import INSIDE_WORKSPACE, SCRATCH
from toolhost.policy.values import WORKSPACE
from toolhost.sandbox import PlanRefused, SandboxPlan, pin
from toolhost.sandbox.destinations import EgressRefused, is_allowed, parse_url
from toolhost.sandbox.programs import SEARCH

__all__ = ["lacking"]

_MOST = 64 << 10  # characters of what a run said that are read
_LONGEST = 500  # of a line
_ENTRIES = 20  # that one run is taken to have lacked: more is talk
_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._+-]{0,63})"
_QUOTE = "[\u2018\u2019'\"`]"
_STARTERS = "env|xargs|find|timeout|nice|nohup|setsid|stdbuf|make|strace"
_PROGRAM = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:^|[\s:]){_QUOTE}?{_NAME}{_QUOTE}?: (?:command )?not found",
        rf"(?:^|/)(?:{_STARTERS}): .*?{_QUOTE}?{_NAME}{_QUOTE}?: No such file or directory",
        rf"{_QUOTE}{_NAME}{_QUOTE}: executable file not found",
        rf"cannot (?:run|exec|spawn) {_QUOTE}?{_NAME}{_QUOTE}?: No such file or directory",
        rf"FileNotFoundError: .*: {_QUOTE}{_NAME}{_QUOTE}$",
    )
)
_MISSING = re.compile(
    r"no such file|not found|cannot open|can't open|could not open|failed to open|bad interpreter", re.IGNORECASE
)
_PATH = re.compile(r"(?<![\w.])(/[^\s:'\"\u2018\u2019`,;()]+)")
_RELATIVE = re.compile(r"(?:^|[\s'\"\u2018`])([\w.][\w./+-]*)(?=[:'\"\u2019`])")
_LIBRARY = re.compile(r"(?P<name>lib[A-Za-z0-9._+-]+\.so[0-9.]*): cannot open shared object file")
_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named ['\"]?(?P<name>\w+)")
_REFUSED = re.compile(r"permission denied", re.IGNORECASE)
_HOST = re.compile(r"resolve|unreachable|network|connect", re.IGNORECASE)
_FULL = (
    ("scratch", re.compile(rf"{SCRATCH}\b.*no space left on device", re.IGNORECASE)),
    ("memory", re.compile(r"cannot allocate memory|^MemoryError|out of memory", re.IGNORECASE)),
    ("processes", re.compile(r"fork.*resource temporarily unavailable", re.IGNORECASE)),
    ("open_files", re.compile(r"too many open files", re.IGNORECASE)),
)
_DATA = ("/usr/", "/opt/")
_OWN = (INSIDE_WORKSPACE, SCRATCH, "/proc", "/dev")
_LIBRARIES = tuple(
    f"{folder}{end}"
    for folder in ("/usr/local/lib", "/usr/lib")
    for end in (f"/{sysconfig.get_config_var('MULTIARCH')}", "64", "")
)
_MODULES = ("/usr/lib/python3/dist-packages",)


def lacking(failure: Failure) -> Iterator[Proposal | Note]:
    """What the run of a call that is allowed or asked today was lacking."""
    plan = failure.now.plan
    assert plan is not None
    yield from islice(_of_run(failure, plan), _ENTRIES)


def _of_run(failure: Failure, plan: SandboxPlan) -> Iterator[Proposal | Note]:
    calls = (failure.call_id,)
    if failure.limit:
        yield from _more(failure.limit, failure, plan, f"a call was ended by its limit of {failure.limit}")
    for place in failure.refused:
        host, _, port = place.rpartition(":")
        if not is_allowed(host, int(port), plan.network):
            yield Proposal(table="network", key="allow", value=place, reason="a call tried to reach it", calls=calls)
    for line in failure.said[:_MOST].splitlines():
        yield from _of_line(line[:_LONGEST], failure, plan)


def _of_line(line: str, failure: Failure, plan: SandboxPlan) -> Iterator[Proposal | Note]:
    for pattern in _PROGRAM:
        if found := pattern.search(line):
            yield from _program(found["name"], failure, plan)
            break
    if found := _LIBRARY.search(line):
        yield from _first_of(_LIBRARIES, found["name"], failure, plan, "a program looked for this library")
    elif found := _MODULE.search(line):
        yield from _first_of(_MODULES, found["name"], failure, plan, "a program looked for this Python module")
    elif _MISSING.search(line):
        for path in _PATH.findall(line):
            yield from _file(normpath(path), failure, plan)
        if not any(root.target == INSIDE_WORKSPACE for root in plan.roots):
            yield from _workspace(line, failure)
    elif failure.exit_code == 126 and _REFUSED.search(line):
        yield from _executable(line, failure, plan)
    for name, pattern in _FULL:
        if pattern.search(line):
            yield from _more(name, failure, plan, f"a call ran out of {name}")
    if _HOST.search(line):
        yield from _hosts(line, failure, plan)


def _program(name: str, failure: Failure, plan: SandboxPlan) -> Iterator[Proposal]:
    """A program that exists here and not in the sandbox."""
    try:
        program = pin(name)
    except PlanRefused:
        return
    if any(name in (known.name, basename(known.path)) or known.path == name for known in plan.programs):
        return
    kind = runs_code(name) or runs_code(program.target)
    calls = (failure.call_id,)
    needs = Proposal(table="", key="runs_code", value=kind or "", reason="it runs any code it is given", calls=calls)
    yield Proposal(
        table="commands",
        key="inside",
        value=name,
        reason="a program looked for it",
        calls=calls,
        needs=(needs,) if kind else (),
    )


def _file(path: str, failure: Failure, plan: SandboxPlan) -> Iterator[Proposal]:
    """A file or folder that exists here and not in the sandbox: where programs lie, their data, or anybody's."""
    there = (*_OWN, *plan.support, *(root.target for root in plan.roots))
    if any(path == place or path.startswith(place + "/") for place in there) or not Path(path).exists():
        return
    calls = (failure.call_id,)
    if any(path.startswith(place + "/") for place in SEARCH):
        name = basename(path)
        try:
            yield from _program(name if pin(name).path == path else path, failure, plan)
        except PlanRefused:
            return
    elif path.startswith(_DATA):
        yield Proposal(table="", key="support", value=path, reason="a program looked for this file", calls=calls)
    else:
        yield Proposal(table="paths", key="read", value=path, reason="a program looked for it", calls=calls)


def _first_of(
    folders: tuple[str, ...], name: str, failure: Failure, plan: SandboxPlan, reason: str
) -> Iterator[Proposal]:
    found = (f"{folder}/{name}{end}" for folder in folders for end in ("", ".py"))
    path = next((path for path in found if Path(path).exists()), None)
    if path is not None and path not in plan.support:
        yield Proposal(table="", key="support", value=path, reason=reason, calls=(failure.call_id,))


def _workspace(line: str, failure: Failure) -> Iterator[Proposal]:
    """The workspace, where a call looked for one of its files and has none of it."""
    named = [path.removeprefix(INSIDE_WORKSPACE + "/") for path in (*_RELATIVE.findall(line), *_PATH.findall(line))]
    beneath = [path for path in named if not path.startswith("/") and ".." not in path.split("/")]
    if any(os.path.lexists(f"{failure.request.workspace}/{path}") for path in beneath):
        yield Proposal(
            table="paths",
            key="read",
            value=WORKSPACE,
            reason="a program looked for a file of the workspace",
            calls=(failure.call_id,),
        )


def _executable(line: str, failure: Failure, plan: SandboxPlan) -> Iterator[Proposal]:
    """`exec`, where a call was kept from executing a file that is there to be executed."""
    writable = any(root.target == INSIDE_WORKSPACE and root.writable and not root.executable for root in plan.roots)
    for path in (*_RELATIVE.findall(line), *_PATH.findall(line)) if writable else ():
        inside = normpath(f"{plan.cwd}/{path}" if not path.startswith("/") else path)
        if not inside.startswith(INSIDE_WORKSPACE + "/"):
            continue
        try:
            facts = os.lstat(failure.request.workspace + inside.removeprefix(INSIDE_WORKSPACE))
        except OSError:
            continue
        if stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o111:
            yield Proposal(
                table="",
                key="exec",
                value=True,
                listed=False,
                reason="a program of the workspace was kept from running; this lets all that is written there run",
                calls=(failure.call_id,),
            )
            return


def _hosts(line: str, failure: Failure, plan: SandboxPlan) -> Iterator[Proposal]:
    """Hosts of the addresses a command was given, where it said that it could not reach them."""
    for word in failure.request.argv or ():
        try:
            _, host, port = parse_url(word)
        except EgressRefused:
            continue
        if host in line and not is_allowed(host, port, plan.network):
            yield Proposal(
                table="network",
                key="allow",
                value=f"{host}:{port}",
                reason="a call was given an address there",
                calls=(failure.call_id,),
            )


def _more(name: str, failure: Failure, plan: SandboxPlan, reason: str) -> Iterator[Proposal | Note]:
    """Twice a limit."""
    now, policies, calls = getattr(plan.limits, name, None), failure.now.policies, (failure.call_id,)
    policy = policies.policy(failure.request.tool.plugin)
    if now is None or policy is None:
        return
    if now != getattr(policies.host.limits(policy.limits), name):
        source = failure.now.decision.source
        yield Note(reason=f"{reason}, which the rule on {source} has of its own: change it there", calls=calls)
        return
    shown = now * 2 if LIMITS[name] == "count" else show_limit(name, now * 2)
    yield Proposal(table="limits", key=name, value=shown, listed=False, reason=f"{reason}: twice as much", calls=calls)
