"""The shell scripts, as far as they can be tried without changing the machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["run", "test", "check", "verify", "advisories", "bench", "bench-peers", "soak", "lock"]


@pytest.mark.parametrize("script", [*(f"scripts/{name}" for name in SCRIPTS), "scripts/environment.sh", ".ci/run"])
def test_scripts_are_posix_shell(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK) or script.endswith(".sh")
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)
    assert "bash" not in path.read_text()


@pytest.fixture
def bare_path(space: Path) -> Path:
    """A PATH with the ordinary tools but neither bubblewrap nor sudo, as on a bare machine."""
    folder = space / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "id", "cut", "sha256sum", "grep", "cat", "mkdir", "git", "apt-get"):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    (folder / "ldconfig").symlink_to("/sbin/ldconfig")
    return folder


def test_without_root_and_bubblewrap_run_says_what_to_install(bare_path: Path, space: Path) -> None:
    checkout = space / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    # The script adds the system's folders of programs to PATH; this copy stays in the bare one.
    library = checkout / "scripts" / "environment.sh"
    library.write_text(library.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", ""))
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(bare_path / "sh"), str(checkout / "scripts" / "run")],
        env={"PATH": str(bare_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **user,
    )
    assert done.returncode != 0
    assert "sudo apt-get install bubblewrap" in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's run puts the command on the PATH")
def test_the_command_of_another_checkout_is_left_alone_and_named(space: Path) -> None:
    (space / "scripts").mkdir()
    library = (ROOT / "scripts" / "environment.sh").read_text()
    link = space / "toolhost"
    (space / "scripts" / "environment.sh").write_text(library.replace("/usr/local/bin/toolhost", str(link)))
    script = space / "scripts" / "link"
    script.write_text('. "$(dirname -- "$0")/environment.sh"\nenvironment=$checkout/$1\nlink_command\n')
    said = []
    for environment in ("first", "first", "second"):
        (space / environment / "bin").mkdir(parents=True, exist_ok=True)
        (space / environment / "bin" / "toolhost").touch()
        command = ["sh", script, environment]
        said.append(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stderr)
        assert link.resolve() == space.resolve() / "first" / "bin" / "toolhost"
    assert said[:2] == ["", ""]
    assert f"{link} is another installation's" in said[2]
    assert f"ln -sfn {space.resolve()}/second/bin/toolhost {link}" in said[2]


GOOD = '{"dependencies": [{"name": "a", "version": "1", "vulns": []}], "fixes": []}'
BAD = '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}], "fixes": []}'
LEFT = '{"dependencies": [{"name": "a", "skip_reason": "not found"}], "fixes": []}'
NPM_GOOD = '{"vulnerabilities": {}, "metadata": {"dependencies": {"total": 90}}}'
NPM_BAD = '{"vulnerabilities": {"b": {"name": "b", "severity": "high"}}, "metadata": {"dependencies": {"total": 90}}}'
NPM_UNREACHABLE = '{"message": "request failed", "error": {"summary": "", "detail": ""}}'


@pytest.mark.parametrize(
    ("python", "npm", "code", "words"),
    [
        (GOOD, NPM_GOOD, 0, ["pass", "pass", "pass"]),
        (GOOD, NPM_BAD, 1, ["pass", "pass", "fail"]),
        (BAD, NPM_UNREACHABLE, 1, ["fail", "fail", "not"]),
        (LEFT, NPM_GOOD, 2, ["not", "not", "pass"]),
        ("", NPM_UNREACHABLE, 2, ["not", "not", "not"]),
    ],
)
def test_what_no_service_said_is_not_checked_and_never_passed(
    space: Path, python: str, npm: str, code: int, words: list[str]
) -> None:
    said = {"pip-audit": f"while [ $# -gt 1 ]; do [ $1 != --output ] || printf %s '{python}' >$2; shift; done"}
    for name, body in {**said, "npm": f"printf %s '{npm}'"}.items():
        (space / name).write_text(f"#!/bin/sh\n{body}\nexit 1\n")
        (space / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "advisories"],
        env={"PATH": f"{space}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, [line.split()[0] for line in done.stdout.splitlines()]) == (code, words), done.stderr
