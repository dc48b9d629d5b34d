"""Where a sandbox may connect to: names judged against the plan's rules, addresses judged by what they are.

A rule is `host:port`, `*.domain:port` (every name below the domain, not the domain itself), `*` (every host), or one of
these after a `!`, which takes away what the others grant and may leave out its port.

A name is compared only after it was read strictly: no user part, no odd characters, no numeric spelling of an address.
An address is dialled only where it is public, and an IPv6 address that carries an IPv4 address inside never is.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

__all__ = ["PROXY", "EgressRefused", "check_address", "is_allowed", "parse_authority", "parse_rule", "parse_url"]

PROXY = ("127.0.0.1", 3128)
"""Where a sandbox with a network finds the way out."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last label: an address to a resolver, whatever it looks like
_URL = re.compile(r"(https?)://([^/?#]*)([A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*)")  # RFC 3986, brackets in a host only
_PORTS = {"http": 80, "https": 443}

# The IANA special-purpose registries. Not `is_global`: what it says depends on the patch level of Python
# (CVE-2024-4032).
_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host: public by its number, answered by the machine's own
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112, answered locally
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112, answered locally
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Everything outside is loopback, mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96), unique local, link-local, multicast, or
# not assigned to anybody.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, which carries an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address
        "2620:4f:8000::/48",  # AS112, answered locally
        "3fff::/20",  # documentation
    )
)


class EgressRefused(Exception):  # noqa: N818
    """Raised for a destination the sandbox may not reach, or for traffic it may not have.

    Attributes:
        code: Stable lower_snake code.
        message: One sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse_authority(authority: str, default_port: int | None = None) -> tuple[str, int]:
    """Read `host:port` as strictly as a name can be read.

    Args:
        authority: As the client wrote it.
        default_port: Port of an authority that has none; without it, one is required.

    Returns:
        The host in lower case (an IPv6 address without brackets, in its shortest form) and the port.

    Raises:
        EgressRefused: `bad_host`.
    """
    if authority.startswith("["):
        literal, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or "%" in literal:
            raise _bad(authority)
        try:
            host = str(ipaddress.IPv6Address(literal))
        except ValueError:
            raise _bad(authority) from None
        port = rest[1:] if rest else None
    else:
        asked, colon, text = authority.partition(":")
        host = asked.lower()
        port = text if colon else None
        # Judged before it is lowered: the Kelvin sign becomes a `k`.
        if not asked.isascii() or not (is_name(host) or _is_ipv4(host)):
            raise _bad(authority)
    if port is None and default_port is not None:
        return host, default_port
    if port is None or not _is_port(port):
        raise _bad(authority)
    return host, int(port)


def parse_url(url: str) -> tuple[str, str, int]:
    """Read an http or https address whose host every client reads alike.

    Returns:
        Scheme, host and port.

    Raises:
        EgressRefused: `bad_url`, `bad_host`.
    """
    found = _URL.fullmatch(url)
    if found is None or not (found[3] == "" or found[3][0] in "/?#"):
        raise EgressRefused("bad_url", f"{_shown(url)} is not a plain http or https address.")
    return (found[1], *parse_authority(found[2], _PORTS[found[1]]))


def parse_rule(rule: str) -> tuple[bool, str, int | None]:
    """Read a rule of a plan.

    Returns:
        Whether it grants; `*`, `*.domain` or a name; the port, or None for every port.

    Raises:
        ValueError: It is no rule; the message says what one is.
    """
    grants = not rule.startswith("!")
    pattern = rule.removeprefix("!")
    if pattern == "*":
        return grants, pattern, None
    host, colon, port = pattern.partition(":")
    name = host.removeprefix("*.")
    if _is_address(pattern) or _is_address(name) or _NUMERIC.fullmatch(name.rpartition(".")[2]):
        raise ValueError("names a host, never an address")
    if not is_name(name) or "." not in name:
        raise ValueError("has a host's full name in lower case, such as example.org:443 or *.example.org:443")
    if (colon or grants) and not _is_port(port):
        raise ValueError(f"has its port: {host}:443, for instance")
    return grants, host, int(port) if colon else None


def is_allowed(host: str, port: int, rules: Iterable[str]) -> bool:
    """Whether the rules grant this destination and none of them takes it away.

    Args:
        host: As `parse_authority` gives it.
        port: The port.
        rules: Rules of a plan.
    """
    allowed = False
    for rule in rules:
        grants, pattern, only = parse_rule(rule)
        if only in (None, port) and _matches(pattern, host):
            if not grants:
                return False
            allowed = True
    return allowed


def check_address(address: str) -> None:
    """Refuse an address that is not public, or is this machine's own.

    Args:
        address: As a resolver gives it.

    Raises:
        EgressRefused: `private_address`.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise _private(address) from None
    if isinstance(parsed, ipaddress.IPv4Address):
        public = not any(parsed in network for network in _NOT_PUBLIC_4)
    else:
        public = (
            parsed.scope_id is None and parsed in _PUBLIC_6 and not any(parsed in network for network in _NOT_PUBLIC_6)
        )
    if not public or _is_own(address, parsed.version):
        raise _private(address)


def is_name(host: str) -> bool:
    """Whether a text is a host's name in lower case, and no spelling of an address."""
    labels = host.split(".")
    return (
        host.isascii()
        and 0 < len(host) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and _NUMERIC.fullmatch(labels[-1]) is None
    )


def _matches(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return is_name(host) and host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def _is_own(address: str, version: int) -> bool:
    """Whether the kernel would answer itself: then a firewall before this machine is not asked."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # looks up the route and sends nothing
            return bool(probe.getsockname()[0] == probe.getpeername()[0])
    except OSError:
        return False  # no route: dialling it will say so


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and text[0] != "0" and int(text) < 65536


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    bare = text.partition("]")[0].removeprefix("[")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def _bad(authority: str) -> EgressRefused:
    return EgressRefused("bad_host", f"{_shown(authority)} is not a host and port.")


def _private(address: str) -> EgressRefused:
    return EgressRefused(
        "private_address", f"{_shown(address)} is not a public address; a sandbox reaches public ones only."
    )


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 100 else text[:97] + "...")
