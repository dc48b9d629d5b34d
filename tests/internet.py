"""A small internet for tests: a host and a world in network namespaces of their own, joined by a cable.

The world has public addresses, a web server with a certificate of a test's own authority, and a Git repository. The
host has a driver in it, which finds names in a hosts file and trusts that authority. Only root can make it.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import Driver, own

from toolhost.policy.environment import NETWORK

WORLD = Path(__file__).parent / "world.py"
NAMES = {
    "93.184.216.34": ("ok.com", "www.ok.com", "mixed.org", "evil.com"),
    "2a00:1450:4001::34": ("six.org", "mixed6.org"),
    "10.0.0.34": ("mixed.org", "private.org"),
    "fd00::34": ("mixed6.org",),
    "93.184.216.1": ("own.org",),
    "169.254.169.254": ("metadata.org",),
    "127.0.0.1": ("loop.org", "localhost"),
    "93.184.216.99": ("absent.org",),
}
ENV = dict(NETWORK)


class Internet:
    """The two namespaces, the files of the host, and what runs in the world."""

    def __init__(self, folder: Path) -> None:
        _sweep()
        mark = uuid.uuid4().hex[:8]
        self.host, self.world = f"th-host-{mark}-{os.getpid()}", f"th-world-{mark}-{os.getpid()}"
        self.folder = folder
        cable = f"thh{mark}", f"thw{mark}"
        for name in (self.host, self.world):
            _ip("netns", "add", name)
        try:
            _ip(
                "link",
                "add",
                cable[0],
                "netns",
                self.host,
                "type",
                "veth",
                "peer",
                "name",
                cable[1],
                "netns",
                self.world,
            )
            self._address(
                self.host, cable[0], "93.184.216.1/24", "10.0.0.1/24", "169.254.1.1/16", "2a00:1450:4001::1/64"
            )
            self._address(
                self.world,
                cable[1],
                "93.184.216.34/24",
                "10.0.0.34/24",
                "169.254.169.254/16",
                "2a00:1450:4001::34/64",
                "fd00::34/64",
            )
            _ip("-n", self.host, "route", "add", "fd00::/64", "dev", cable[0])
            self._files()
            self._server = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.world}", sys.executable, str(WORLD), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert self._server.stdout is not None
            ready, _, _ = select.select([self._server.stdout], [], [], 30)
            assert ready
            assert os.read(self._server.stdout.fileno(), 64) == b"ready\n"
        except BaseException:
            self.close()
            raise

    def prefix(self) -> tuple[str, ...]:
        """What runs a command in the host."""
        mounts = " && ".join(
            f"mount --bind {self.folder}/{name} {place}"
            for name, place in {
                "hosts": "/etc/hosts",
                "nsswitch.conf": "/etc/nsswitch.conf",
                "ca.pem": "/etc/ssl/certs/ca-certificates.crt",
            }.items()
        )
        net = f"--net=/run/netns/{self.host}"
        return ("nsenter", net, "unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")

    def seen(self) -> list[str]:
        """What the world's web server was asked."""
        log = self.folder / "requests"
        return log.read_text().splitlines() if log.exists() else []

    def close(self) -> None:
        server = getattr(self, "_server", None)
        if server is not None:
            server.kill()
            server.wait(15)
            server.stdin.close()
            server.stdout.close()
        for name in (self.host, self.world):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=30)

    def _address(self, namespace: str, device: str, *addresses: str) -> None:
        for address in addresses:
            _ip("-n", namespace, "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        for name in ("lo", device):
            _ip("-n", namespace, "link", "set", name, "up")

    def _files(self) -> None:
        lines = [f"{address} {' '.join(names)}" for address, names in NAMES.items()]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        (self.folder / "nsswitch.conf").write_text("hosts: files\n")
        every = sorted({name for names in NAMES.values() for name in names})
        (self.folder / "names.ext").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in every))
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self._openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA")
        self._openssl("req", *key, "-keyout", "web.key", "-out", "web.csr", "-subj", "/CN=ok.com")
        ca = ("-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1", "-days", "2")
        self._openssl("x509", "-req", "-in", "web.csr", *ca, "-extfile", "names.ext", "-out", "web.pem")
        who = {"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/tmp", "PATH": "/usr/bin:/bin"}
        who |= {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        for words in (("init", "-q", "repo"), ("-C", "repo", "commit", "-q", "--allow-empty", "-m", "From afar")):
            subprocess.run(["git", *words], cwd=self.folder, env=who, check=True, capture_output=True, timeout=30)

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=60)


def _sweep() -> None:
    """Remove what tests that were killed left behind."""
    for path in Path("/run/netns").glob("th-*-*-*"):
        if not Path("/proc", path.name.rpartition("-")[2]).exists():
            subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True, timeout=30)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    """The internet of this session."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces with a cable between them")
    folder = Path(tempfile.mkdtemp(prefix="toolhost-internet-", dir="/tmp"))
    folder.chmod(0o755)
    made = Internet(folder)
    for name in ("hosts", "nsswitch.conf", "ca.pem"):
        (folder / name).chmod(0o644)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def online(internet: Internet) -> Iterator[Driver]:
    """Runs plans on a host that the world can be reached from."""
    state = own(Path(tempfile.mkdtemp(prefix="toolhost-state-", dir="/tmp")))
    driver = Driver(state, prefix=internet.prefix())
    yield driver
    driver.close()
    shutil.rmtree(state, ignore_errors=True)
