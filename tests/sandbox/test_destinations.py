"""Names and addresses: what a sandbox may be connected to, in every spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.sandbox.destinations import (
    EgressRefused,
    check_address,
    is_allowed,
    parse_authority,
    parse_rule,
    parse_url,
)

RULES = ("ok.com:443", "*.wild.org:443", "!bad.wild.org", "!port.wild.org:443")


def judged(authority: str, rules: tuple[str, ...] = RULES) -> bool:
    """Whether a CONNECT to this would go on to be resolved."""
    try:
        host, port = parse_authority(authority)
    except EgressRefused:
        return False
    return is_allowed(host, port, rules)


@pytest.mark.parametrize(
    "authority", ["ok.com:443", "OK.COM:443", "a.wild.org:443", "b.a.wild.org:443", "_x.wild.org:443"]
)
def test_the_true_host_on_its_port_passes(authority: str) -> None:
    assert judged(authority)


@pytest.mark.parametrize(
    "authority",
    [
        "evil.com\0.ok.com:443",
        "ok.com\0:443",
        "ok.com.evil.com:443",
        "evil-ok.com:443",
        "xok.com:443",
        "ok.com.:443",
        ".ok.com:443",
        "ok..com:443",
        "ok.com:22",
        "ok.com:0443",
        "ok.com:443:22",
        "ok.com:+443",
        "ok.com: 443",
        "ok.com:4_43",
        "ok.com:\u0664\u0664\u0663",
        "ok.com:65979",
        "ok.com:0",
        "ok.com:",
        "ok.com",
        "user@ok.com:443",
        "ok.com@evil.com:443",
        "evil.com#.ok.com:443",
        "ok.com#.evil.com:443",
        "evil.com/.ok.com:443",
        "evil.com\\.ok.com:443",
        "evil.com?.ok.com:443",
        "%6fk.com:443",
        "\u043ek.com:443",
        "o\u212a.com:443",
        "ok\u3002com:443",
        "ok.com\r\nHost: evil.com:443",
        "ok.com\n:443",
        " ok.com:443",
        "ok.com :443",
        "-ok.com:443",
        f"{'a' * 300}.ok.com:443",
        f"{'a' * 64}.wild.org:443",
        "wild.org:443",
        ".wild.org:443",
        "xwild.org:443",
        "a.wild.org.evil.com:443",
        "a.wild.org:80",
        "bad.wild.org:443",
        "port.wild.org:443",
        "[ok.com]:443",
        "[::1",
        "[::1]443",
        "[fe80::1%eth0]:443",
        "",
        ":443",
    ],
)
def test_nothing_that_only_looks_like_it_does(authority: str) -> None:
    assert not judged(authority)


@pytest.mark.parametrize(
    "authority",
    [
        "2852039166:80",
        "0xa9fea9fe:80",
        "0251.0376.0251.0376:80",
        "0xa9.0xfe.0xa9.0xfe:80",
        "169.254.43518:80",
        "127.1:80",
        "0:80",
        "0x7f000001:80",
        "017700000001:80",
        "127.0.0.1.:80",
        "1.2.3.0x4:80",
        "a.b.1:80",
    ],
)
def test_a_numeric_spelling_is_no_host_even_where_every_host_is_allowed(authority: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        parse_authority(authority)
    assert refused.value.code == "bad_host"


NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3",
    "168.63.129.16", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::ffff:7f00:1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::1", "2001:2::1",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00::2", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1",
    "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", [*NOT_PUBLIC, "not an address", "127.1", ""])
def test_an_address_that_is_not_public_is_refused_in_every_spelling(address: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        check_address(address)
    assert refused.value.code == "private_address"


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_a_public_address_is_not(address: str) -> None:
    check_address(address)


@given(st.ip_addresses(v=4))
def test_no_address_is_public_that_python_knows_to_be_private(address: object) -> None:
    import ipaddress

    parsed = ipaddress.IPv4Address(str(address))
    if parsed.is_private or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_reserved:
        with pytest.raises(EgressRefused):
            check_address(str(parsed))


@given(st.text(max_size=40))
def test_a_host_that_is_read_at_all_reads_back_as_itself(text: str) -> None:
    try:
        host, port = parse_authority(text)
    except EgressRefused as refused:
        assert refused.message.isascii()
        assert refused.message.isprintable()
        return
    assert host == host.lower()
    assert parse_authority(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") == (host, port)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://ok.com", ("https", "ok.com", 443)),
        ("http://OK.com", ("http", "ok.com", 80)),
        ("https://ok.com:8443/a/b?c=d&e=%20#f", ("https", "ok.com", 8443)),
        ("https://ok.com/@types/node", ("https", "ok.com", 443)),
        ("https://ok.com?q", ("https", "ok.com", 443)),
        ("http://[2606:4700::1111]/", ("http", "2606:4700::1111", 80)),
    ],
)
def test_an_address_of_the_web_is_read(url: str, read: tuple[str, str, int]) -> None:
    assert parse_url(url) == read


@pytest.mark.parametrize(
    "url",
    [
        "ok.com",
        "//ok.com/",
        "ftp://ok.com/",
        "file:///etc/passwd",
        "HTTPS://ok.com/",
        "https:/ok.com",
        "https:///ok.com",
        "https://",
        "https://user@ok.com/",
        "https://user:pass@ok.com/",
        "https://ok.com\\@evil.com/",
        "https://ok.com\t/",
        "https://ok.com/ x",
        "https://ok.com/\n",
        "https://{a,b}.ok.com/",
        "https://ok.com/[1-100]",
        "https://ok.com/{a,b}",
        "https://ok.com/<x>",
        "https://\u043ek.com/",
        "https://ok.com/\u00e9",
        "https://127.1/",
        "https://ok.com:99999/",
        "https://[::1/",
        " https://ok.com/",
        "",
    ],
)
def test_what_two_programs_could_read_differently_is_not(url: str) -> None:
    with pytest.raises(EgressRefused):
        parse_url(url)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "!",
        "ok.com",
        "ok.com:",
        "ok.com:0",
        "ok.com:http",
        "ok.com:65536",
        "ok.com:443:443",
        "OK.com:443",
        "ok.com.:443",
        "localhost:80",
        "*:443",
        "*.com:443",
        "*.*.com:443",
        "a.*.com:443",
        "a*.ok.com:443",
        "**:443",
        "1.2.3.4:443",
        "127.1:443",
        "2852039166:80",
        "0x7f.1:80",
        "[::1]:443",
        "::1",
        "*.1.2.3.4:443",
        "https://ok.com:443",
        "user@ok.com:443",
        "ok.com/x:443",
        "\u043ek.com:443",
        "!1.2.3.4",
        "!!ok.com:443",
    ],
)
def test_what_is_no_rule_is_refused_with_a_reason(rule: str) -> None:
    with pytest.raises(ValueError, match=" "):
        parse_rule(rule)


def test_every_host_may_be_granted_and_some_taken_away() -> None:
    rules = ("*", "!evil.org", "!*.evil.org:443")
    assert is_allowed("ok.com", 22, rules)
    assert not is_allowed("evil.org", 22, rules)
    assert not is_allowed("x.evil.org", 443, rules)
    assert is_allowed("x.evil.org", 80, rules)
    assert not is_allowed("ok.com", 443, ("*", "!*"))


def test_no_rules_allow_nothing() -> None:
    assert not is_allowed("ok.com", 443, ())
    assert not is_allowed("ok.com", 443, ("!evil.org",))
