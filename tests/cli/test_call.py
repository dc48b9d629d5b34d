"""`toolhost call`: words in, an exit code out."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from owners import SERVICE_USER, give

RESULT_KEYS = [
    "call_id",
    "tool",
    "status",
    "exit_code",
    "signal",
    "stdout",
    "stderr",
    "truncated",
    "content",
    "error",
    "decision",
    "approval_id",
    "sandbox",
    "duration_ms",
]


def audit(data: Path) -> list[dict]:
    return [json.loads(line) for line in (data / "state" / "audit.log").read_text().splitlines()]


def test_an_allowed_call_prints_what_the_tool_prints(toolhost, git_repository) -> None:
    repository = git_repository("Plant a tree", "Water it")
    done = toolhost("call", "git.log", "limit=1", "oneline=true", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" Water it\n")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_json_output_is_one_result_object(toolhost, git_repository, data) -> None:
    repository = git_repository("Plant a tree")
    done = toolhost("call", "git.log", "--output", "json", "--workspace", str(repository))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert list(result) == RESULT_KEYS
    assert (result["status"], result["exit_code"], result["tool"]) == ("ok", 0, "git.log")
    assert "Plant a tree" in result["stdout"]
    assert result["content"] == [{"type": "text", "text": result["stdout"]}]
    assert result["decision"]["outcome"] == "allow"
    assert result["decision"]["source"].startswith("git.toml:")
    assert result["sandbox"]["plan_digest"].startswith("sha256:")
    events = [record["event"] for record in audit(data) if record["call_id"] == result["call_id"]]
    assert events == ["tool.intent", "tool.outcome"]


def test_a_worker_s_tool_answers_like_a_command(toolhost, workspace) -> None:
    (workspace / "poem.txt").write_text("one\ntwo\n")
    done = toolhost("call", "files.read", "path=poem.txt")
    assert done.returncode == 0, done.stderr
    assert "one\ntwo" in done.stdout


def test_arguments_come_as_words_or_as_one_json_object(toolhost, git_repository) -> None:
    repository = git_repository("a", "b", "c")
    words = toolhost(
        "call", "git.log", "limit:=2", "oneline=true", "paths=file0.txt", "paths=file1.txt", cwd=repository
    )
    whole = toolhost(
        "call",
        "git.log",
        "--json",
        '{"limit": 2, "oneline": true, "paths": ["file0.txt", "file1.txt"]}',
        cwd=repository,
    )
    assert words.returncode == whole.returncode == 0, words.stderr
    assert words.stdout == whole.stdout
    assert words.stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["files.reed"], "unknown_tool"),
        (["nothing"], "unknown_tool"),
        (["files.read"], "invalid_arguments"),
        (["files.read", "path"], "invalid_arguments"),
        (["files.read", "pat=x"], "invalid_arguments"),
        (["files.read", "path=x", "path=y"], "invalid_arguments"),
        (["git.log", "limit=many"], "invalid_arguments"),
        (["git.log", "limit=0"], "invalid_arguments"),
        (["git.log", "limit:=nope"], "invalid_arguments"),
        (["git.log", "--json", "{}", "limit=1"], "invalid_arguments"),
        (["git.log", "--json", "[1]"], "invalid_arguments"),
        (["git.log", "--json", "{"], "invalid_arguments"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_2(toolhost, data, words, code) -> None:
    done = toolhost("call", *words)
    assert done.returncode == 2
    assert done.stdout == ""
    first = done.stderr.splitlines()[0]
    assert first.startswith("error: ")
    assert first.endswith(f"[{code}]")
    assert "Traceback" not in done.stderr
    assert not any(record["category"] == "tools" for record in audit(data))


def test_an_unknown_tool_gets_the_nearest_name(toolhost) -> None:
    assert "files.read" in toolhost("call", "files.reed", "path=x").stderr


def test_a_usage_error_in_json_has_the_error_object(toolhost) -> None:
    done = toolhost("call", "files.reed", "--output", "json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["recoverable"]) == ("unknown_tool", True)


def test_a_megabyte_of_argument_is_refused_before_anything_runs(toolhost, data) -> None:
    # A single argument of execve may have 128 KiB; the megabyte is made of many.
    words = [f"paths={'x' * 100_000}" for _ in range(12)]
    done = toolhost("call", "git.log", *words)
    assert done.returncode == 2
    assert "[arguments_too_large]" in done.stderr
    assert len(done.stderr) < 2000
    assert not any(record["category"] == "tools" for record in audit(data))


def test_a_denied_call_names_its_rule_and_runs_nothing(toolhost, git_repository, data) -> None:
    repository = git_repository("a")
    done = toolhost("call", "git.push", "--output", "json", cwd=repository)
    assert done.returncode == 3
    result = json.loads(done.stdout)
    assert result["status"] == "denied"
    assert result["decision"]["outcome"] == "deny"
    assert result["sandbox"] is None
    records = [record for record in audit(data) if record["call_id"] == result["call_id"]]
    assert [record["event"] for record in records] == ["command_blocked"]
    text = toolhost("call", "git.push", cwd=repository)
    assert text.returncode == 3
    assert text.stdout == ""
    assert f"[{result['decision']['code']}]" in text.stderr
    if result["decision"]["source"]:
        assert f"rule: {result['decision']['source']}" in text.stderr


@pytest.mark.parametrize(
    "path", ["../outside.txt", "/etc/passwd", "link", "sub/../../outside.txt", "/proc/self/root/etc/passwd"]
)
def test_a_path_outside_the_workspace_gives_nothing(toolhost, workspace, space, path) -> None:
    (space / "outside.txt").write_text("CANARY")
    (workspace / "link").symlink_to("/etc/passwd")
    done = toolhost("call", "files.read", f"path={path}")
    assert done.returncode in (3, 5)
    assert "CANARY" not in done.stdout + done.stderr
    assert "root:" not in done.stdout + done.stderr


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\u001b[2Jb", "a\\nb"])
def test_control_characters_in_a_path_are_refused(toolhost, text) -> None:
    done = toolhost("call", "files.read", "--json", f'{{"path": "{text}"}}')
    assert done.returncode in (2, 3)
    assert "\x1b" not in done.stderr
    assert "\x00" not in done.stderr


def test_without_a_terminal_a_question_ends_with_exit_4(toolhost, data) -> None:
    done = toolhost("call", "shell.run", "script=echo hello")
    assert done.returncode == 4
    assert done.stdout == ""
    assert "[approval_required]" in done.stderr
    assert "--approve" in done.stderr
    assert "rule: shell.toml:" in done.stderr
    assert not any(record["event"] == "tool.intent" for record in audit(data))


def test_a_question_that_nobody_is_there_to_answer_ends_the_command(toolhost) -> None:
    for _ in range(3):  # the second time there is an open question already
        done = toolhost("call", "shell.run", "script=true", timeout=40)
        assert done.returncode == 4, done.stderr
        assert "approval_required" in done.stderr


def test_approve_is_recorded_as_an_approval_by_the_local_administrator(toolhost, data) -> None:
    done = toolhost("call", "shell.run", "script=echo hello; echo oops >&2", "--approve")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "oops\n")
    approved = [record for record in audit(data) if record["event"] == "approval.approved"]
    assert [record["user_id"] for record in approved] == ["local"]


def test_a_tool_that_fails_gives_exit_5(toolhost) -> None:
    done = toolhost("call", "shell.run", "script=echo before; exit 3", "--approve", "--output", "json")
    assert done.returncode == 5
    result = json.loads(done.stdout)
    assert (result["status"], result["exit_code"], result["stdout"]) == ("error", 3, "before\n")
    assert result["error"]["code"] == "tool_failed"


def test_a_limit_gives_exit_6(toolhost, policies) -> None:
    file = policies / "shell.toml"
    file.write_text(file.read_text().replace("[limits]", '[limits]\noutput = "1K"', 1))
    if "[limits]" not in file.read_text():
        file.write_text(file.read_text() + '\n[limits]\noutput = "1K"\n')
    done = toolhost(
        "call", "shell.run", "script=while :; do echo xxxxxxxxxxxxxxxx; done", "--approve", "--output", "json"
    )
    assert done.returncode == 6, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "limit"
    assert result["truncated"]


def test_output_that_is_no_utf_8_passes_a_pipe_untouched_and_is_valid_json(toolhost, environment, workspace) -> None:
    script = r"script=printf 'a\377b'"
    assert toolhost("call", "shell.run", script, "--approve").stdout == "a\udcffb"
    result = json.loads(toolhost("call", "shell.run", script, "--approve", "--output", "json").stdout)
    assert result["stdout"] == "a\ufffdb"


def test_ctrl_c_ends_the_call_and_everything_it_started(executable, environment, workspace, data) -> None:
    process = subprocess.Popen(
        [executable, "call", "shell.run", "script=echo started; sleep 600 & sleep 600", "--approve"],
        cwd=workspace,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait(10)
    assert process.returncode == 8
    assert b"[cancelled]" in errors
    outcomes = [record for record in audit(data) if record["event"] == "tool.outcome"]
    assert [record["details"]["status"] for record in outcomes] == ["cancelled"]


@pytest.mark.parametrize(("typed", "exit_code"), [("y\n", 0), ("n\n", 4), ("\n", 4), ("yess\n", 4)])
def test_a_terminal_is_asked_and_only_yes_is_a_yes(terminal: Callable, data, typed, exit_code) -> None:
    shell = terminal("call", "shell.run", "script=echo $((98765*43210))", installed=exit_code == 0)
    shown = shell.wait_for("[y/N]")
    assert "echo $((98765*43210))" in shown
    assert "shell.toml:" in shown
    assert "4267635650" not in shown
    shell.type(typed)
    assert shell.end() == exit_code
    assert ("4267635650" in shell.shown) == (exit_code == 0)


def test_a_question_cannot_be_redrawn_by_what_it_shows(terminal: Callable) -> None:
    shell = terminal("call", "shell.run", "script=echo harmless\u202e; rm -r .\n  rule  none")
    shown = shell.wait_for("[y/N]")
    assert "\u202e" not in shown
    assert "‹U+202E›" in shown
    assert "␊  rule  none" in shown
    shell.type("n\n")
    assert shell.end() == 4


def test_a_yes_counts_for_what_was_asked_only(terminal: Callable, workspace: Path, space: Path, data) -> None:
    shell = terminal("call", "shell.run", "script=echo $((98765*43210))")
    shell.wait_for("[y/N]")
    workspace.rename(space / "before")
    workspace.mkdir()
    give(workspace, SERVICE_USER)
    shell.type("y\n")
    assert shell.end() == 4
    assert "[plan_changed]" in shell.shown
    assert "4267635650" not in shell.shown
    assert not any(record["event"] == "tool.intent" for record in audit(data))


def test_ctrl_c_at_the_question_runs_nothing(terminal: Callable, data) -> None:
    shell = terminal("call", "shell.run", "script=echo $((6*7))")
    shell.wait_for("[y/N]")
    shell.process.send_signal(signal.SIGINT)
    assert shell.end() == 8
    assert "Traceback" not in shell.shown
    assert not any(record["event"] == "tool.intent" for record in audit(data))


def test_a_terminal_gets_a_tool_s_control_characters_spelled_out(terminal: Callable) -> None:
    shell = terminal("call", "shell.run", r"script=printf '\033]0;owned\007'", "--approve")
    assert shell.end() == 0
    assert "\x1b" not in shell.shown
    assert "␛]0;owned␇" in shell.shown


@pytest.mark.parametrize("folder", ["/", "/etc", "/proc", "/root", "/home"])
def test_a_folder_that_may_not_be_a_root_is_refused(toolhost, folder) -> None:
    done = toolhost("call", "files.list", "--workspace", folder)
    assert done.returncode == 3
    assert folder in done.stderr
    assert done.stdout == ""


def test_the_data_directory_is_no_workspace(toolhost, data) -> None:
    assert toolhost("tools").returncode == 0
    for folder in (data, data / "state", data / "policies"):
        assert toolhost("call", "files.list", "--workspace", str(folder)).returncode == 3


def test_a_workspace_that_does_not_exist_is_a_usage_error(toolhost) -> None:
    done = toolhost("call", "files.list", "--workspace", "nowhere")
    assert done.returncode in (2, 3)
    assert "nowhere" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes the service user")
def test_a_folder_the_service_user_cannot_reach_names_the_command_that_helps(toolhost, space) -> None:
    closed = space / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    done = toolhost("call", "files.list", "--workspace", str(closed / "inner"))
    assert done.returncode == 3
    assert "[workspace_not_accessible]" in done.stderr
    assert "setfacl" in done.stderr
    result = json.loads(toolhost("call", "files.list", "--workspace", str(closed), "--output", "json").stdout)
    assert result["error"]["code"] == "workspace_not_accessible"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_another_user_can_be_read(toolhost, git_repository) -> None:
    repository = git_repository("Plant a tree", owner="nobody")
    done = toolhost("call", "git.log", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "Plant a tree" in done.stdout


def test_a_reader_that_has_gone_is_no_traceback(executable, environment, workspace) -> None:
    process = subprocess.Popen(
        [executable, "call", "shell.run", "script=while :; do echo y; done", "--approve"],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert b"Traceback" not in errors
    assert b"Exception" not in errors
    assert process.returncode == 8


ASKS = """
from toolhost import ToolContext, hookimpl, tool

@tool
def choose(ctx: ToolContext) -> str:
    "Ask which."
    return "took " + ctx.ask("Which\\x1b[2J one?\\nrule  none", ["left", "right"]).wait()

@hookimpl
def register_tools(register):
    register(choose)
"""


@pytest.fixture
def asks(policies: Path, data: Path) -> None:
    folder = data / "plugins" / "asks"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text('name = "asks"\nversion = "1"\nabout = "A test."\nmodule = "asks_code"\n')
    (folder / "asks_code.py").write_text(ASKS)
    (policies / "asks.toml").write_text('plugin = "asks"\n[tools]\nallow = ["choose"]\n')
    give(data / "plugins", SERVICE_USER)
    give(policies, SERVICE_USER)


def test_a_tool_s_question_is_asked_at_the_terminal_in_lines_marked_as_the_plugin_s(
    asks: None, terminal: Callable
) -> None:
    shell = terminal("call", "asks.choose")
    shown = shell.wait_for("say nothing) ")
    assert "The plugin asks asks you. These are its words" in shown
    assert "  | Which" in shown
    assert "  | rule  none" in shown
    assert "\x1b[2J" not in shown
    shell.type("3\n")
    shell.wait_for("say nothing.\r\nNumber (Enter: say nothing) ")  # what is typed ahead counts for nothing
    shell.type("2\n")
    shell.wait_for("took right")
    assert shell.end() == 0


def test_without_a_terminal_a_tool_has_nobody_to_ask(asks: None, toolhost) -> None:
    done = toolhost("call", "asks.choose")
    assert (done.returncode, "[nobody_to_ask]" in done.stderr) == (5, True), done.stderr
