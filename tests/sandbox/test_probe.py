"""Every layer is tried, and a missing one is named with its fix."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from driver import Driver

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
    assert fix in namespace_refusal(1, "unshare").hint


def test_a_missing_libseccomp_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp.filter_bytes.cache_clear()
    monkeypatch.setitem(sys.modules, "pyseccomp", None)  # as where its import finds no libseccomp
    with pytest.raises(SandboxUnavailable) as refusal:
        seccomp.filter_bytes(network=False)
    assert (refusal.value.code, refusal.value.hint) == ("seccomp_missing", "apt-get install libseccomp2")
