"""Reading `[network]`, the `network` of a rule, and the host's denies: which hosts may be reached, by name and port."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolhost.policy.keys import POLICY
from toolhost.policy.problems import Place
from toolhost.policy.table import Located, Table
from toolhost.sandbox.destinations import parse_rule

__all__ = ["NETWORK_KEYS", "NetworkTerms", "covers", "hosts_for", "read_hosts", "read_network_denies"]

NETWORK_KEYS = tuple(POLICY["network"].keys or ())
"""Keys of a policy's `[network]`."""

_EVERY = "*"
_URL = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?:[^/@]*@)?(?P<host>[^/:@]+)(?::(?P<port>[0-9]+))?(?:/.*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class NetworkTerms:
    """What holds for every list of hosts in a file.

    Attributes:
        any: Whether `*` may stand in one.
        denies: The host's denies, and where each is written.
    """

    any: bool
    denies: Sequence[tuple[str, Place]]


def read_hosts(table: Table, key: str, terms: NetworkTerms) -> tuple[str, ...]:
    """A list of hosts that may be reached.

    Args:
        table: `[network]`, or the table of a rule.
        key: The list's name.
        terms: What holds for all.
    """
    found: list[str] = []
    for item in table.strings(key):
        if not _check(table, item, item.text):
            continue
        deny = next((place for deny, place in terms.denies if covers(deny, item.text)), None)
        if item.text == _EVERY and not terms.any:
            table.problem(
                item.place, "any_host", "`*` is every host there is: write `any = true` in [network] if that is meant."
            )
        elif deny is not None:
            table.problem(item.place, "host_deny", f"`{item.text}` is denied to every plugin by {deny}.")
        else:
            found.append(item.text)
    return tuple(dict.fromkeys(found))


def read_network_denies(table: Table) -> tuple[tuple[str, Place], ...]:
    """The hosts that no plugin may reach: as in an allow, and a port may be left out, which is every port."""
    return tuple((item.text, item.place) for item in table.strings("deny") if _check(table, item, f"!{item.text}"))


def hosts_for(hosts: Sequence[str], denies: Iterable[tuple[str, Place]]) -> tuple[str, ...]:
    """The network of a plan: what is granted, and after it, with a `!`, each deny that takes something away from it."""
    taken = (f"!{deny}" for deny, _ in denies if any(_meets(deny, host) for host in hosts))
    return (*hosts, *dict.fromkeys(taken))


def _check(table: Table, item: Located, rule: str) -> bool:
    nearest = _nearest(item.text)
    if item.text.startswith("!"):
        problem = "grants: what no plugin may reach, host.toml denies under [network]"
    elif "/" in item.text:
        problem = f"is a host and a port, without a scheme or a path: {nearest or 'example.org:443'}"
    else:
        try:
            parse_rule(rule)
        except ValueError as error:
            problem = str(error)
            if nearest and nearest not in problem:
                problem += f"; did you mean `{nearest}`?"
        else:
            return True
    end = "" if problem.endswith("?") else "."
    table.problem(item.place, "bad_value", f"`{item.text}`: an entry here {problem}{end}")
    return False


def _nearest(rule: str) -> str:
    """The entry somebody may have meant: without scheme, user and path, in lower case, with the port of its scheme."""
    found = _URL.fullmatch(rule)
    if found is None:
        return ""
    host = found["host"].lower().rstrip(".")
    port = found["port"] or {"http": "80", "ssh": "22"}.get(found["scheme"] or "", "443")
    for candidate in (f"{host}:{port}", f"{host}:443"):
        try:
            parse_rule(candidate)
        except ValueError:
            continue
        return candidate
    return ""


def covers(deny: str, rule: str) -> bool:
    """Whether a deny, or another rule, is of all that a rule grants."""
    _, wide, port = parse_rule(f"!{deny}")
    _, narrow, own = parse_rule(rule)
    if port not in (None, own):
        return False
    return wide in (_EVERY, narrow) or (wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]))


def _meets(deny: str, rule: str) -> bool:
    """Whether a deny takes away anything that a rule grants."""
    _, taken, port = parse_rule(f"!{deny}")
    _, granted, own = parse_rule(rule)
    if port is not None and own is not None and port != own:
        return False
    if _EVERY in (taken, granted) or taken == granted:
        return True
    return _below(taken, granted) or _below(granted, taken)


def _below(pattern: str, wide: str) -> bool:
    """Whether a name, or every name of a narrower wildcard, lies below a wildcard's domain."""
    return wide.startswith("*.") and pattern.removeprefix("*").endswith(wide[1:])
