"""What the documentation tells people to type and to write, done as written."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from driver import own
from thirdparty import SERVERS, installed

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]

EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

TUTORIAL = "plugins/test_new_plugin.py::test_the_tutorial_leads_from_nothing_to_a_plugin_that_people_call"
ELSEWHERE = {
    "scripts/run": "repository/test_examples.py::test_scripts_run_serves_and_a_second_run_installs_nothing",
    "scripts/verify": "web/test_verify.py::test_a_server_that_is_as_it_should_be_passes_every_check",
    "scripts/verify https://tools.example.org 127.0.0.1": "cli/test_config.py::"
    "test_with_a_certificate_other_machines_are_served_by_tls",
    "toolhost serve": "cli/test_serve.py::test_it_prints_its_address_and_a_setup_address_and_ends_on_sigterm",
    "toolhost audit tail -f --category security": "cli/test_audit_commands.py::"
    "test_following_shows_what_is_written_meanwhile",
    "toolhost selfattack": "attacks/test_selfattack.py::test_every_attack_is_contained_and_printed",
    "toolhost plugin accept notes": "cli/test_lock.py::test_a_person_at_a_terminal_is_asked_and_only_a_yes_is_one",
    "pytest": TUTORIAL,
    "toolhost plugin check": TUTORIAL,
    'cp -r src/words "$TOOLHOST_DATA/plugins/words"': TUTORIAL,
    "toolhost plugin enable words": TUTORIAL,
    "toolhost call words.top path=README.md": TUTORIAL,
}
"""Commands that another test carries out: they do not end by themselves, ask a person, or take long."""

NOWHERE = {
    "scripts/test": "It is what carries this out.",
    "scripts/test tests/policy -x": "It is what carries this out.",
    "scripts/check": "scripts/test does it too.",
    "scripts/bench": "Measures for minutes.",
    "scripts/bench-peers": "Measures for minutes, and fetches what it measures from the network.",
    "scripts/soak": "Takes a quarter of an hour; tests have reduced forms of it.",
    "scripts/lock --upgrade": "Changes the locks to what a package index has today.",
    "python3 -m venv .venv": "Where the next but one installs.",
    ". .venv/bin/activate": "As above.",
    "pip install PATH/OF/TOOLHOST -e '.[test]'": "Asks a package index; the tests have what it installs.",
    "scripts/advisories": "Asks services on the network; test_scripts.py has it judge what they could answer.",
    "useradd --system --user-group --no-create-home --home-dir /var/lib/toolhost --shell /usr/sbin/nologin toolhost": (
        "Changes the machine; scripts/environment.sh has the same line."
    ),
    "if [ -r /run/secrets/token ]; then read -r GITHUB_TOKEN </run/secrets/token; export GITHUB_TOKEN; fi": (
        "A line of a plugin's file, for the inside of its sandbox."
    ),
    "exec node /opt/mcp/node_modules/PACKAGE/dist/index.js": "PACKAGE is whatever somebody installs there.",
    'cscli decisions add --ip 203.0.113.7 --duration 4h --reason "guesses passwords"': "Needs CrowdSec.",
    "cscli decisions list": "Needs CrowdSec.",
    "cscli decisions delete --ip 203.0.113.7": "Needs CrowdSec.",
}
"""Commands that no test carries out, and why."""

HERE = ("toolhost ", "cd words", "cp -a policies tried && $EDITOR tried/git.toml")
"""How the commands begin that are carried out below. Not everything: a page must not make a test run just anything."""


def commands(page: str) -> list[str]:
    """Every line of the page's shell blocks, without its remark."""
    blocks = [text for language, text in FENCE.findall((ROOT / page).read_text()) if language == "sh"]
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def tried(page: str) -> list[str]:
    """Those that are carried out here, each once."""
    return [line for line in dict.fromkeys(commands(page)) if line not in ELSEWHERE and line not in NOWHERE]


def examples(page: str) -> dict[str, str]:
    """The files a page shows, by their name."""
    return dict(EXAMPLE.findall((ROOT / page).read_text()))


@pytest.fixture
def readers_folder(git_repository, space: Path) -> Path:
    """Where a reader of the README tries its commands."""
    return git_repository("TODO: water the tree", "Plant a tree")


@pytest.fixture
def readers_shell(executable: str, environment: dict[str, str], readers_folder: Path):
    def run(line: str, cwd: Path = readers_folder) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            cwd=cwd,
            env={**environment, "PATH": f"{Path(executable).parent}:/usr/bin:/bin", "EDITOR": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


COUNT = """name = "count"
version = "1"
about = "A test."
[[tools]]
name = "report"
about = "Says a word."
command = "echo {word}"
input.word = { type = "string" }
"""
"""The plugin that docs/policies.md speaks of where a tool does not work: the call that it explains is denied."""


@pytest.fixture
def call_id(toolhost, data: Path, readers_folder: Path) -> str:
    """A call to be asked about, of a plugin that grants too little."""
    (data / "plugins" / "count").mkdir(parents=True)
    (data / "plugins" / "count" / "plugin.toml").write_text(COUNT)
    (data / "policies" / "count.toml").write_text('plugin = "count"\n[commands]\nallow = ["echo bea"]\n')
    own(data / "plugins")
    own(data / "policies")
    done = toolhost("call", "count.report", "word=ada", "--output", "json", cwd=readers_folder)
    called = json.loads(done.stdout)
    assert called["status"] == "denied", called
    return called["call_id"]


def test_no_command_of_the_pages_is_left_out() -> None:
    shown = [line for page in PAGES for line in commands(page)]
    assert len(shown) > 40
    assert not {*ELSEWHERE, *NOWHERE} - set(shown), "no page shows these any more"
    assert not ELSEWHERE.keys() & NOWHERE.keys()
    unknown = [line for page in PAGES for line in tried(page) if not line.startswith(HERE)]
    assert not unknown, "say above which test carries these out, or why none does"
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(), place
    languages = {language for page in PAGES for language, _ in FENCE.findall((ROOT / page).read_text())}
    assert languages <= {"sh", "toml", "python", "json", "ini", ""}, "commands stand in blocks of sh"
    (made,) = [line for line in NOWHERE if line.startswith("useradd")]
    assert made in re.sub(r"\s+", " ", (ROOT / "scripts" / "environment.sh").read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if tried(page)])
def test_the_commands_of_a_page_work_as_written(
    toolhost, readers_shell, readers_folder: Path, data: Path, call_id: str, page: str
) -> None:
    for line in tried(page):
        written = line.replace("c_...", call_id)
        # `tried` is a copy of the policies, and stands beside them.
        cwd = data if "tried" in line else readers_folder
        if written.startswith("toolhost "):  # no start of the interpreter for each; the next test has some
            done = toolhost(*shlex.split(written)[1:], cwd=cwd, timeout=120)
        else:
            done = readers_shell(written, cwd)
        assert done.returncode == 0, f"{written}\n{done.stdout}{done.stderr}"


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
    # What it may say is whose command is on this machine's PATH.
    assert not re.search(r"toolhost: (?!/usr/local/bin/toolhost is another)", errors.read_text())
