"""The sandbox's own attacks: all contained here, and a server in which one is not serves no tools."""

from __future__ import annotations

import json
import os
import shlex
import urllib.request
from pathlib import Path

import pytest

from toolhost.sandbox.attacks import ATTACKS


def test_every_attack_is_contained_and_printed(toolhost) -> None:
    done = toolhost("selfattack", timeout=120)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[-1] == f"{len(ATTACKS)} attempts, 0 not contained."
    assert all(line.startswith("contained ") for line in lines[:-1])
    assert len(lines) == len(ATTACKS) + 1


def test_the_table_covers_every_group_and_a_dozen_are_quick() -> None:
    assert {attack.group for attack in ATTACKS} == {
        "paths", "files", "programs", "environment", "kernel", "network", "processes", "limits",
    }  # fmt: skip
    assert sum(attack.quick for attack in ATTACKS) >= 12
    assert len({attack.what for attack in ATTACKS}) == len(ATTACKS)
    assert all(attack.by == "bash" for attack in ATTACKS if attack.quick)


# A bubblewrap that looks right and leaves out what it was asked for.
_LIAR = """#!/bin/bash
case "$1" in --help|--version) exec /usr/games/bwrap "$1";; esac
shift 3
exec /usr/games/bwrap $(/usr/bin/tr '\\0' ' ' <&11 | /usr/bin/sed 's/--disable-userns//; s/--seccomp 10//') -- "$@"
"""


@pytest.fixture
def liar(space: Path, executable: str) -> Path:
    """The command, on a machine whose bubblewrap lies."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (space / "bwrap").write_text(_LIAR)
    (space / "bwrap").chmod(0o755)
    command = space / "toolhost"
    command.write_text(
        '#!/bin/sh\n[ -n "$HIDDEN" ] || HIDDEN=1 exec unshare --mount "$0" "$@"\nunset HIDDEN\n'
        f"mount -t tmpfs toolhost /usr/games && cp /usr/bin/bwrap /usr/games/ && cp {space}/bwrap /usr/games/liar &&\n"
        f'mount --bind /usr/games/liar /usr/bin/bwrap && exec {shlex.quote(executable)} "$@"\n'
    )
    command.chmod(0o755)
    return command


PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def test_a_server_whose_sandbox_leaks_serves_no_tool(serve, liar: Path, space: Path) -> None:
    server = serve(command=[str(liar), "serve"], env=PATH)
    with urllib.request.urlopen(f"{server.url}/health", timeout=10) as answer:
        assert json.load(answer) == {"status": "degraded"}
    said = (space / "serve.stderr").read_text()
    assert "[selfattack_failed]" in said
    assert "namespaces of its own" in said


def test_selfattack_and_doctor_say_which_one_got_out(liar: Path, environment, workspace: Path) -> None:
    import subprocess

    env = {**environment, **PATH}
    attack, doctor = (
        subprocess.run(
            [str(liar), *words], env=env, cwd=workspace, capture_output=True, text=True, timeout=120, check=False
        )
        for words in (["selfattack"], ["doctor", "--json"])
    )
    assert attack.returncode == 1
    escaped = [line for line in attack.stdout.splitlines() if line.startswith("ESCAPED")]
    assert any("namespaces of its own" in line for line in escaped)
    layers = {layer["name"]: layer["status"] for layer in json.loads(doctor.stdout)["layers"]}
    assert (doctor.returncode, layers["execution"]) == (1, "fail")
