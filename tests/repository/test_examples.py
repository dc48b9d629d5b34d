"""What the documentation tells people to type and to write, done as written."""

import re
import subprocess
from pathlib import Path

import pytest
from driver import own
from thirdparty import SERVERS, installed

ROOT = Path(__file__).parents[2]

EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def commands(page: str) -> list[str]:
    """Every line of the page's shell blocks, without its remark."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def examples(page: str) -> dict[str, str]:
    """The files a page shows, by their name."""
    return dict(EXAMPLE.findall((ROOT / page).read_text()))


@pytest.fixture
def readers_folder(git_repository, space: Path) -> Path:
    """Where a reader of the README tries its commands."""
    return git_repository("TODO: water the tree", "Plant a tree")


@pytest.fixture
def readers_shell(executable: str, environment: dict[str, str], readers_folder: Path):
    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            cwd=readers_folder,
            env={**environment, "PATH": f"{Path(executable).parent}:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


README = [line for line in commands("README.md") if line.startswith("toolhost ")]


def test_the_readme_has_no_command_that_is_not_tried() -> None:
    assert [line for line in commands("README.md") if line not in README] == ["scripts/run", "scripts/test"]
    assert len(README) >= 8


@pytest.mark.parametrize("line", README)
def test_the_readme_s_commands_work_as_written(readers_shell, line: str) -> None:
    done = readers_shell(line)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_readme_s_commands_give_what_it_says(readers_shell) -> None:
    assert "Plant a tree" in readers_shell("toolhost call git.log limit=5").stdout
    assert "TODO: water the tree" in readers_shell("toolhost call files.search pattern=TODO").stdout
    explained = readers_shell("toolhost policy explain git.push").stdout
    assert explained.startswith("decision: deny\n")
    assert re.search(r"^rule: git\.toml:\d+$", explained, re.MULTILINE)


def test_the_readme_s_policy_does_what_it_says(readers_shell, space: Path, environment) -> None:
    folder = space / "policies"
    folder.mkdir()
    for name, text in examples("README.md").items():
        (folder / name).write_text(text)
    environment["TOOLHOST_POLICIES"] = str(folder)
    assert readers_shell("toolhost policy check").stdout == ""
    assert readers_shell("toolhost call system.uname").stdout.startswith("Linux")
    assert readers_shell("toolhost call system.df").returncode == 0
    assert readers_shell("toolhost policy explain system.uptime").stdout.startswith("decision: deny\n")


@installed
def test_the_plugins_of_the_authors_guide_work(toolhost, space: Path, workspace: Path, environment) -> None:
    for name, text in examples("docs/plugins.md").items():
        file = space / "plugins" / name if "/" in name else space / "policies" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("/opt/mcp", str(SERVERS)))  # where the tests have what the guide installs
    own(space / "policies")  # the host writes lock.toml into it
    environment["TOOLHOST_PLUGINS"] = str(space / "plugins")
    environment["TOOLHOST_POLICIES"] = str(space / "policies")
    (workspace / "notes.txt").write_text("first line\nbuy Milk\n")
    assert toolhost("policy", "check").stdout == ""
    listed = toolhost("plugin", "list").stdout
    assert "quarantined" not in listed, listed
    found = toolhost("call", "notes.find", "text=milk", "fold=true")
    assert (found.returncode, found.stdout) == (0, "./notes.txt:2:buy Milk\n"), found.stderr
    greeted = toolhost("call", "greeter.hello", "name=Ada", "loud=true")
    assert (greeted.returncode, greeted.stdout) == (0, "HELLO, ADA!\n"), greeted.stderr
    read = toolhost("call", "greeter.first_line", "path=notes.txt")
    assert (read.returncode, read.stdout) == (0, "first line\n"), read.stderr
    said = toolhost("call", "reference.get-sum", "a=1", "b=2")
    assert (said.returncode, said.stdout) == (0, "The sum of 1 and 2 is 3.\n"), said.stderr
    (workspace / "empty.txt").touch()
    empty = toolhost("call", "greeter.first_line", "path=empty.txt")
    assert empty.returncode == 5
    assert "[file_empty]" in empty.stderr


def test_the_policy_of_the_administrators_guide_is_valid(toolhost, space: Path) -> None:
    for name, text in examples("docs/policies.md").items():
        (space / name).write_text(text)
        done = toolhost("policy", "check", str(space / name))
        assert (done.returncode, done.stdout) == (0, "")


def test_scripts_run_serves_and_a_second_run_installs_nothing(serve, space: Path) -> None:
    # The first run may have to make the environment; that takes what the network takes.
    first = serve(command=[str(ROOT / "scripts" / "run")], timeout=600)
    assert first.setup_url is not None
    first.process.terminate()
    assert first.process.wait(20) == 0
    errors = space / "serve.stderr"
    errors.write_text("")
    second = serve(command=[str(ROOT / "scripts" / "run")])
    assert second.url
    assert "toolhost: " not in errors.read_text()
