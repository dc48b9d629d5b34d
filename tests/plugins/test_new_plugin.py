"""`toolhost plugin new`, `plugin check` and `toolhost.testing`: as somebody who writes a plugin uses them."""

from __future__ import annotations

import itertools
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import own
from owners import SERVICE_USER
from packaging.requirements import Requirement

BIN = Path(sys.executable).parent
OURS = ("anyio", "hypothesispytest", "schemathesis", "xdist", "xdist.looponfail")
"""Plugins of pytest that these tests have and an author's need not; some take long to import."""
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_ADDOPTS": " ".join(f"-p no:{name}" for name in OURS),
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder of the author's own."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-author-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, SERVICE_USER, SERVICE_USER)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As an author does, who is not root."""
    user = pwd.getpwnam(SERVICE_USER) if os.geteuid() == 0 else None
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **who,
    )


def test_the_plugin_of_pytest_imports_nothing_of_the_host_until_it_is_used(place: Path) -> None:
    imported = run("python", "-c", "import sys, toolhost.testing.plugin; print(*sys.modules)", cwd=place).stdout.split()
    assert "toolhost.testing.plugin" in imported
    assert not {"toolhost.testing.hosts", "toolhost.host", "toolhost.sandbox", "sqlalchemy"} & set(imported)


KINDS = {"python": [], "toml": ["--toml"], "mcp": ["--mcp"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_own_tests_and_its_check(place: Path, kind: str) -> None:
    name = f"count-{kind}"
    made = run("toolhost", "plugin", "new", name, *KINDS[kind], cwd=place)
    assert made.returncode == 0, made.stderr
    folder = place / name
    package = folder / "src" / f"count_{kind}"
    for file in ("pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml"):
        assert str(Path(name, file)) in made.stdout.splitlines()
        assert "@" not in (folder / file).read_text().replace("actions/checkout@v4", "").replace("python@v5", "")
    assert {"__init__.py", "plugin.toml", "policy.request.toml"} <= {path.name for path in package.iterdir()}
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    assert "toolhost" not in {Requirement(text).name for text in wanted}, (
        "what an index has by that name is not Toolhost"
    )

    tested = run("pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    if kind != "python":  # the tutorial checks and attacks one of those
        checked = run("toolhost", "plugin", "check", "--no-attack", cwd=folder)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    if kind == "python":
        again = run("toolhost", "plugin", "new", name, cwd=place)
        assert (again.returncode, "[folder_exists]" in again.stderr) == (2, True)


LEAKING = '''"""Tells more than it should: its policy lets it read a folder that is not the workspace."""

from pathlib import Path

from toolhost import hookimpl, tool


@tool
def show(text: str) -> str:
    """Show what a path leads to."""
    return Path(text.removeprefix("file://")).read_text()


@hookimpl
def register_tools(register):
    register(show)
'''


def test_what_a_plugin_gives_away_is_found_by_the_attacks_and_by_lint(place: Path) -> None:
    assert run("toolhost", "plugin", "new", "leak", cwd=place).returncode == 0
    package = place / "leak" / "src" / "leak"
    (package / "tools.py").write_text(LEAKING)
    request = package / "policy.request.toml"
    text = '[tools]\nallow = ["show"]\n[paths]\nread = ["{workspace}", "/var/tmp"]\n'
    request.write_text('plugin = "leak"\n' + text)
    attacked = run("pytest", "-q", "-p", "no:cacheprovider", "--toolhost-attack", cwd=place / "leak")
    assert attacked.returncode == 1, attacked.stdout + attacked.stderr
    assert "leak.show told what is outside, asked with {'text': '/var/tmp/toolhost-outside-" in attacked.stdout
    assert "test_what_is_in_a_file" not in attacked.stdout
    # Each part is answered with its place; what cannot be read is not run.
    for broken, said in (
        ('plugin = "leak"\n[tools]\nalow = []\n', "FOUND  policy: policy.request.toml:3:1: unknown_key: "),
        ('plugin = "other"\n', "FOUND  policy: policy.request.toml is for other, not leak"),
        ('plugin = "leak"\n[config]\nlongst = 1\n', "The plugin leak has no setting `longst`. Did you mean `longest`?"),
    ):
        request.write_text(broken)
        checked = run("toolhost", "plugin", "check", "--no-attack", cwd=place / "leak")
        assert (checked.returncode, said in checked.stdout) == (1, True), checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ["Weather", "class", "host"])
def test_a_name_that_no_plugin_or_package_can_have_is_refused(place: Path, name: str) -> None:
    done = run("toolhost", "plugin", "new", name, cwd=place)
    assert (done.returncode, "[plugin_name_invalid]" in done.stderr) == (2, True)
    assert not (place / name).exists()


def test_the_tutorial_leads_from_nothing_to_a_plugin_that_people_call(
    place: Path, toolhost, data: Path, workspace: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
    steps = dict(re.findall(r"<!-- tutorial: (\S+) -->\n```\w+\n(.*?)```", page, re.DOTALL))
    assert len(steps) == 4
    assert run("toolhost", "plugin", "new", "words", cwd=place).returncode == 0
    for name, text in steps.items():
        assert (place / "words" / name).is_file(), name
        (place / "words" / name).write_text(text)
    tested = run("pytest", "-q", "-p", "no:cacheprovider", cwd=place / "words")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    checked = run("toolhost", "plugin", "check", cwd=place / "words")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "ok     attack: a link: contained" in checked.stdout.splitlines()
    shutil.copytree(place / "words" / "src" / "words", data / "plugins" / "words")
    own(data / "plugins")
    assert toolhost("plugin", "enable", "words", "--yes").returncode == 0
    (workspace / "README.md").write_text("tree and tree, leaf\n")
    called = toolhost("call", "words.top", "path=README.md", "count=1")
    assert (called.returncode, json.loads(called.stdout or "0")) == (0, ["tree"]), called.stderr


def test_plugins_of_ours_are_tested_as_an_author_tests_theirs() -> None:
    """What is in `own`: as root it is not collected, because `toolhost.testing` runs nothing for root."""
    if os.geteuid() != 0:
        pytest.skip("they are collected like all others")
    own_tests = Path(__file__).parent / "own"
    done = run("pytest", "-q", "-p", "no:cacheprovider", str(own_tests), cwd=own_tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
