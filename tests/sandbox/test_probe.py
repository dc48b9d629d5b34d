"""Every layer is tried, and a missing one is named with its fix."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from driver import Driver, own

from toolhost.sandbox import SandboxUnavailable, seccomp
from toolhost.sandbox.bubblewrap import find_bubblewrap
from toolhost.sandbox.diagnosis import namespace_refusal


def test_every_layer_of_this_machine_passes(box: Driver) -> None:
    checks = box.ask(do="probe")["checks"]
    assert [check for check in checks if check["status"] == "fail"] == []
    assert {"bubblewrap", "seccomp", "namespaces", "sandbox", "network access"} <= {check["layer"] for check in checks}
    assert sum(check["layer"].startswith("escape: ") for check in checks) >= 10


def test_a_missing_bubblewrap_is_named_with_its_fix(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable) as refusal:
        find_bubblewrap([str(tmp_path)])
    assert (refusal.value.code, refusal.value.hint) == ("bubblewrap_missing", "apt-get install bubblewrap")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program of root's")
@pytest.mark.parametrize(
    ("mode", "says", "code"),
    [
        (0o4755, "0.8.0 --bind-fd --disable-userns", "bubblewrap_setuid"),
        (0o777, "0.8.0 --bind-fd --disable-userns", "bubblewrap_not_trusted"),
        (0o755, "bubblewrap 0.7.0 --bind-fd --disable-userns", "bubblewrap_too_old"),
        (0o755, "bubblewrap 0.8.0 --disable-userns", "bubblewrap_too_old"),
        (0o755, "Segmentation fault", "bubblewrap_broken"),
    ],
)
def test_an_unfit_bubblewrap_is_refused(tmp_path: Path, mode: int, says: str, code: str) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\necho '{says}'\n")
    fake.chmod(mode)
    with pytest.raises(SandboxUnavailable) as refusal:
        find_bubblewrap([str(tmp_path)])
    assert refusal.value.code == code
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "apparmor"),
    ],
)
def test_user_namespaces_that_are_off_are_named_with_their_fix(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, fix: str
) -> None:
    monkeypatch.setattr("toolhost.sandbox.diagnosis._setting", lambda path: value if path == setting else "")
    assert fix in namespace_refusal("unshare").hint


_FEW = """
import ctypes, os, sys
ours, theirs = os.pipe()
if not (child := os.fork()):
    os.read(ours, 1)
    for name in ("uid_map", "gid_map"):
        open(f"/proc/{os.getppid()}/{name}", "w").write("0 0 65536")
    os._exit(0)
assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER
os.write(theirs, b"x")
assert os.waitpid(child, 0)[1] == 0
os.setresgid(0, 0, 0), os.setresuid(0, 0, 0)
open(f"/proc/sys/user/max_{sys.argv[1]}_namespaces", "w").write("1")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to map users")
@pytest.mark.parametrize("kind", ["user", "net", "pid"])
def test_too_few_namespaces_of_a_kind_are_named_with_their_fix(state: Path, kind: str) -> None:
    driver = Driver(state, prefix=(sys.executable, "-c", _FEW, kind))
    assert failing(driver) == f"sysctl -w user.max_{kind}_namespaces=15000"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize(
    ("mount", "fix"),
    [
        ("mount -t tmpfs toolhost /proc/fs", "systempaths=unconfined"),  # as in a container
        ("mount -t tmpfs -o noexec,mode=1777 toolhost /tmp && mkdir -m 1777 $1", "noexec"),
        ("mount --bind /dev/null /bin/dash", "dash"),
    ],
)
def test_what_keeps_a_sandbox_from_standing_is_named_with_its_fix(mount: str, fix: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        own(Path(folder))
        command = f'{mount}; shift; exec "$@"'
        driver = Driver(Path(folder), prefix=("/usr/bin/unshare", "--mount", "sh", "-c", command, "sh", folder))
        assert fix in failing(driver)


def failing(driver: Driver) -> str:
    """The fix of the one check that fails."""
    try:
        (fix,) = [check["fix"] for check in driver.ask(do="probe")["checks"] if check["status"] == "fail"]
    finally:
        driver.close()
    return str(fix)


def test_a_missing_libseccomp_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp.filter_bytes.cache_clear()
    monkeypatch.setitem(sys.modules, "pyseccomp", None)  # as where its import finds no libseccomp
    with pytest.raises(SandboxUnavailable) as refusal:
        seccomp.filter_bytes(network=False)
    assert (refusal.value.code, refusal.value.hint) == ("seccomp_missing", "apt-get install libseccomp2")
