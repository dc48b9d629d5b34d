"""Threats D: arguments. Each attack stands against a policy that allows the program for looking at things."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hosted import Hosted

REFUSED = [
    # option injection
    "touch -r /etc/passwd x",
    "ls --color=always x",
    "ls -la",
    "ls -l -l",
    # git
    "git -c core.pager=id status",
    "git -c alias.x=!id x",
    "git --exec-path=/workspace status",
    "git --git-dir=/workspace/evil status",
    "git -C /srv status",
    "git -p status",
    "git status --porcelain",
    "git diff --no-index /etc/passwd /dev/null",
    "git diff --no-ext-diff --no-textconv --no-index -- /etc/passwd",
    "git diff --ext-diff",
    "git diff --no-ext-diff --no-textconv --ext-diff",
    "git log --no-ext-diff --no-textconv --output=/workspace/PWN",
    "git log --no-ext-diff --no-textconv -n 5 --output /workspace/PWN",
    "git log --no-ext-diff --no-textconv -n5x",
    "git log --no-ext-diff --no-textconv --max-count=1e3",
    "git log --no-ext-diff --no-textconv --max-coun=5",
    "git grep -O x",
    "git fetch ext::sh",
    "git clone --upload-pack=id x",
    "git archive --exec=id",
    # find
    "find . -exec id ;",
    "find . -execdir id ;",
    "find . -ok id ;",
    "find . -delete",
    "find . -fprint /workspace/f",
    "find . -fls /workspace/f",
    "find -files0-from /etc/passwd",
    "find . -name x -exec id ;",
    # tar
    "tar -tf x --checkpoint-action=exec=id",
    "tar --to-command=id -tf x",
    "tar -I id -tf x",
    "tar --use-compress-program=id -tf x",
    "tar --rsh-command=id -tf x",
    "tar -tf x -T /etc/passwd",
    "tar -C / -tf x",
    "tar -tfx",
    "tar -tvf x",
    # awk, sed
    "awk 'BEGIN{system(\"id\")}' x",
    "awk '{ \"id\"|getline }' x",
    "awk '{print > \"/workspace/PWN\"}' x",
    "awk -f x x",
    "awk '@load \"filefuncs\"' x",
    "sed -n w/workspace/PWN x",
    "sed -n '1W PWN' x",
    "sed -n 1e x",
    "sed -n 'r /etc/passwd' x",
    "sed -i 1p x",
    "sed -n s/a/b/e x",
    "sed -f x x",
    "sed -n '1p;1e id' x",
    # the rest of those that write or run by a flag
    "rg --pre id -- a",
    "rg --pre=id -- a",
    "rg --hostname-bin id -- a",
    "rg -z -- a",
    "rg -nz -- a",
    "sort -o PWN x",
    "sort --compress-program=id x",
    "sort -T /workspace x",
    "sort -nr x",
    "xxd x PWN",
    "xxd -r x",
    "xxd -l -1 x PWN",
    "curl -o PWN http://example.org",
    "curl -K x",
    "curl file:///etc/passwd",
    "curl --unix-socket /run/docker.sock http://x/",
    "env id",
    "bash -c id",
    "python3 x.py",
    "sh x.sh",
    "sh -c id id",
    "sh --norc -c id",
]


@pytest.mark.parametrize("line", REFUSED)
def test_what_the_template_does_not_say_is_refused_and_recorded_once(host: Hosted, line: str) -> None:
    program, *words = shlex.split(line)
    before = len(host.records())
    result = host.run(program, *words)
    assert result["status"] == "denied", result
    assert result["sandbox"] is None
    (record,) = host.records()[before:]
    assert (record["event"], record["details"]["command"]) == ("command_blocked", [program, *words])
    assert record["details"]["reason"] in {"no_rule", "path_escapes_root", "path_outside_roots"}
    assert list(host.workspace.iterdir()) == []


LITERAL = [
    ";id", "$(id)", "`id`", "|id", "&&id", ">f", "<(id)", "$IFS", "{a,b}", "*", "a\nid", "a\\\nid", "~", "<<E\nid\nE",
    "!id", "'; id; '", '"; id; "', "${PATH}", "$((1+1))", "\\", "'", '"', "a\tb", "%s", "#", "(", "[a]", "\u202eid",
    "id\u200b", "x=y", "@file", "{text}", "{words...}", "...", "\u2013l", "\u2212a", "\uff0dn",
]  # fmt: skip


@pytest.mark.parametrize("word", LITERAL)
def test_what_a_shell_would_obey_is_passed_literally(host: Hosted, word: str) -> None:
    result = host.run("echo", "a", word, "b")
    assert (result["status"], result["stdout"]) == ("ok", f"a {word} b\n")
    assert list(host.workspace.iterdir()) == []


@pytest.mark.parametrize("word", ["-e", "--help", "-", "--", "\0", "a\0b", "\x1b[2J", "\x7f", "\x85", "\r"])
def test_what_is_no_text_is_refused_in_its_place(host: Hosted, word: str) -> None:
    result = host.run("echo", word)
    assert result["error"]["code"] in {"no_rule", "bad_argument", "invalid_arguments"}
    assert result.get("stdout", "") == ""


def test_options_of_bubblewrap_are_data(host: Hosted) -> None:
    (host.workspace / "--bind").write_text("bind\n")
    (host.workspace / "--args").write_text("args\n")
    assert host.run("cat", "--bind", "--args")["stdout"] == "bind\nargs\n"
    assert host.run("sh", "-c", "--dev-bind / /")["status"] in {"denied", "error"}


def test_a_lookalike_in_the_workspace_is_never_what_runs(host: Hosted) -> None:
    fake = host.workspace / "cat"
    fake.write_text("#!/bin/sh\necho fake\n")
    fake.chmod(0o755)
    (host.workspace / "x").write_text("real\n")
    assert host.run("cat", "x")["stdout"] == "real\n"
    assert host.run("sh", "-c", "PATH=/workspace:$PATH cat x; ./cat x; /workspace/cat x")["stdout"] == "real\n"


@pytest.mark.parametrize("word", ["--output=/workspace/PWN", "-n", "--", "-", "+1", "@list", ":/", ":!x", "host:x"])
def test_where_a_path_is_meant_a_word_is_a_file_s_name_whatever_it_looks_like(host: Hosted, word: str) -> None:
    assert host.explain("cat", word)["argv"] == ["/usr/bin/cat", f"./{word}"]


def test_a_repository_s_own_configuration_runs_nothing(host: Hosted, git_repository) -> None:
    repository = git_repository("one")
    config = repository / ".git" / "config"
    program = "sh -c 'echo PWN > /workspace/PWN'"
    sections = {
        "core": ("fsmonitor", "pager", "sshCommand", "hooksPath", "editor"),
        'diff "x"': ("textconv", "command"),
        "diff": ("external",),
        'filter "x"': ("clean", "smudge", "process"),
        "gpg": ("program",),
        "alias": ("st",),
        "credential": ("helper",),
        "interactive": ("diffFilter",),
    }
    text = "".join(
        f"[{section}]\n" + "".join(f"\t{key} = {program}\n" for key in keys) for section, keys in sections.items()
    )
    config.write_text(config.read_text() + text)
    (repository / ".gitattributes").write_text("* diff=x filter=x\n")
    (repository / "file0.txt").write_text("changed\n")
    for words in (["status"], ["diff", "--no-ext-diff", "--no-textconv"], ["log", "--no-ext-diff", "--no-textconv"]):
        result = host.run("git", *words, workspace=str(repository))
        assert result["decision"]["outcome"] == "allow"
        assert not (repository / "PWN").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"words": "x"},
        {"words": {"0": "x"}},
        {"words": [1]},
        {"words": [None]},
        {"words": [["x"]]},
        {"words": [True]},
        {"words": None},
        {"words": 10**400},
        {"words": ["x"], "sandbox": False},
        {"words": ["x"], "unsafe": True},
        {"words": ["x"], "policy": "allow"},
        {"words": ["x"], "__class__": "x"},
        [],
        "x",
        None,
    ],
)
def test_arguments_of_another_type_are_refused_before_a_decision(host: Hosted, arguments: object) -> None:
    before = len(host.records())
    answer = host.ask(tool="probe.echo", arguments=arguments, workspace=str(host.workspace))
    assert answer["error"]["code"] == "invalid_arguments"
    assert "Traceback" not in json.dumps(answer)
    assert len(host.records()) == before


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["x" * (1 << 20)], {"arguments_too_large", "no_rule"}),
        (["x" * (128 << 10)], {"no_rule", "bad_argument"}),
        (["x"] * 10_000, {"ok"}),
        (["x" * 100_000] * 12, {"arguments_too_large"}),
        (["\ud800"], {"no_rule", "invalid_arguments", "bad_argument"}),
    ],
)
def test_arguments_without_measure_end_in_a_code(host: Hosted, words: list[str], codes: set[str]) -> None:
    answer = host.run("echo", *words)
    error = answer.get("error")
    code = "ok" if error is None else error["code"]
    assert code in codes or answer["decision"]["code"] in codes, answer


@pytest.mark.parametrize(
    "text", ['{"words": 1e400}', '{"words": [NaN]}', "[" * 100_000, '{"a":' * 20_000, "{", "\\ud800"]
)
def test_json_that_is_none_ends_in_a_code_on_the_command_line(toolhost, workspace: Path, text: str) -> None:
    done = toolhost("call", "shell.run", "--json", text)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
