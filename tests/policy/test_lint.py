"""`policy lint`: what is valid and still likely not meant, and the reasons that answer it."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from owners import SERVICE_USER, give
from policy_bench import Bench

from toolhost.policy.compile import compile_template
from toolhost.policy.lint import lint
from toolhost.policy.lint.admits import admits
from toolhost.policy.lint.risks import RISKS, Risk
from toolhost.policy.offline import read_files

POLICIES = Path(__file__).parents[2] / "policies"


def findings(bench: Bench, text: str, host: str = "") -> list[tuple[int, str]]:
    """Line and code of each finding of a policy; its first line is `plugin`."""
    bench.write("host", host)
    bench.write("probe", text)
    return [(problem.line, problem.code) for problem in found(bench)]


def found(bench: Bench) -> list:
    reading = read_files(bench.policies, data=bench.data, plugins=bench.plugins)
    assert not reading.problems, [str(problem) for problem in reading.problems]
    return [problem for file in reading.files for problem in lint(file.policy, file.document, reading.host)]


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: " ".join((*risk.command, *risk.words)))
def test_each_row_of_the_table_is_found_in_a_rule_of_any_arguments_and_not_in_one_of_none(risk: Risk) -> None:
    command = " ".join(risk.command)
    assert admits(compile_template(f"{command} ..."), risk)
    if risk.words:
        assert not admits(compile_template(command), risk)
        assert not admits(compile_template(f"{command} [--harmless] [--] [{{read...}}]"), risk)


@pytest.mark.parametrize(
    ("rule", "codes"),
    [
        ("sort [-o {text}] {read}", ["writes_files"]),
        ("sort [-o {write}] {read}", []),
        ("sort [-k {int}] -- {read...}", []),
        ("sort {read...}", []),
        ("sed -n {text} {read}", ["runs_programs", "writes_files"]),
        ("sed -n {regex:[0-9,]+p} {read}", []),
        ("sed -n {regex:.*} {read}", ["runs_programs", "writes_files"]),
        ("awk {text} {read}", ["runs_programs"]),
        ("find {read} [-name {text}]", []),
        ("find {read} [-name {text}] [-delete]", ["writes_files"]),
        ("find {read} -exec {choice:x|y} \\\\;", ["runs_programs"]),
        ("git log [--author {text}] [--] [{read...}]", []),
        ("git -c {choice:color.ui=never} log", []),
        ("git -c {text} log", ["runs_programs"]),
        ("git {text}", ["runs_programs"]),
        ("git diff [--output {text}]", ["writes_files"]),
        ("tar -x [-C {write}] -f {read}", []),
        ("tar -x [-I {text}] -f {read}", ["runs_programs"]),
        ("grep -e {text} {read}", []),
    ],
)
def test_a_rule_is_judged_by_what_its_own_template_lets_through(bench: Bench, rule: str, codes: list[str]) -> None:
    text = f'[commands]\nallow = ["{rule}"]\n[paths]\nwrite = ["{{workspace}}"]\n'
    assert [code for _, code in findings(bench, text)] == codes


def test_any_arguments_want_a_reason_in_the_rule_or_in_a_comment(bench: Bench) -> None:
    text = """[commands]
allow = [
  "echo ...",
  { run = "printf ...", because = "it only prints" },
  "true ...",  # because: it takes no notice of them
  # because it fails whatever it is told
  "false ...",
]
ask = ["ls ..."]
[paths]
read = ["{workspace}"]
"""
    assert findings(bench, text) == [(4, "any_arguments"), (10, "any_arguments")]


def test_an_interpreter_that_nobody_is_asked_about_is_found(bench: Bench) -> None:
    text = 'runs_code = ["bash", "env"]\n[commands]\nallow = ["bash -c {text}"]\nask = ["env {text}"]\n'
    assert findings(bench, text) == [(4, "runs_code_unasked")]


def test_rules_that_can_never_decide_are_found(bench: Bench) -> None:
    text = """[tools]
allow = ["a", "b"]
ask = ["b"]
deny = ["a"]
[commands]
allow = ["ls [-a]", "ls -l {text}", "cat {read}", "touch {write}", "head -n {int} [{read}]"]
ask = ["ls [-a]"]
deny = ["ls ... -l ...", "head -n 5"]
[paths]
read = ["{workspace}"]
"""
    assert findings(bench, text) == [(3, "never_decides")] * 2 + [(7, "never_decides")] * 3


def test_an_address_without_a_host_that_may_be_reached_is_found(bench: Bench) -> None:
    rules = 'allow = ["git fetch {url}", { run = "git pull {url}", network = ["example.org:443"] }]'
    assert findings(bench, f"[commands]\n{rules}\n") == [(3, "never_decides")]


def test_a_rule_that_the_host_denies_by_its_arguments_is_found(bench: Bench) -> None:
    text = '[commands]\nallow = ["git push origin {ref}", "git status"]\n'
    (finding,) = findings(bench, text, host='[commands]\ndeny = ["git push ..."]\n')
    assert finding == (3, "never_decides")


def test_a_deny_that_a_script_can_go_around_is_found(bench: Bench) -> None:
    text = (
        'runs_code = ["bash"]\n[commands]\nask = ["bash -c {text}"]\ninside = ["git", "ls"]\ndeny = ["git push ..."]\n'
    )
    assert findings(bench, text) == [(5, "deny_not_reached")]


def test_a_program_that_is_not_there_is_named_with_the_nearest_that_is(bench: Bench) -> None:
    bench.write("probe", '[commands]\nallow = ["gitt status"]\ninside = ["sortt"]\n')
    first, second = found(bench)
    assert (first.code, first.line, second.line) == ("program_missing", 3, 4)
    assert "Did you mean `git`?" in first.message
    assert "Did you mean `sort`?" in second.message


def test_a_program_that_is_a_link_to_nothing_is_named_with_where_it_leads(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to("/nowhere/bin/python3")
    bench.write("probe", f'runs_code = ["python3"]\n[commands]\nask = ["{tmp_path}/python3 -m server"]\n')
    (finding,) = found(bench)
    assert finding.code == "program_missing"
    assert "leads to /nowhere/bin/python3, which is not there for this user" in finding.message


def test_what_is_declared_and_not_used_is_found(bench: Bench) -> None:
    assert findings(bench, 'runs_code = ["bash", "perl"]\n[commands]\nask = ["bash"]\n') == [(2, "unused_entry")]


def test_wide_folders_and_those_with_keys_are_found(bench: Bench) -> None:
    project = bench.folder / "project"
    (project / ".ssh").mkdir(parents=True)
    text = f'[paths]\nread = [\n"/srv",\n"{project}",\n"/srv", # because all of it is public\n]\n'
    assert findings(bench, text) == [(5, "root_holds_keys")]
    text = f'[paths]\nread = ["/srv"]\nwrite = ["{project}"]\ndeny = [".ssh"]\n'
    assert findings(bench, text) == [(3, "wide_root")]


def test_wide_hosts_are_found_wherever_they_stand(bench: Bench) -> None:
    text = """[commands]
ask = [{ run = "ls", network = ["*.amazonaws.com:443"] }]
[network]
any = true
allow = ["*", "*.example.org:443"]
"""
    assert findings(bench, text) == [(3, "wide_host"), (6, "wide_host")]


def test_what_reads_private_files_and_reaches_out_is_found(bench: Bench) -> None:
    project = bench.folder / "project"
    project.mkdir()
    text = f"""[commands]
ask = ["git fetch", {{ run = "git log", network = [] }}]
[paths]
read = ["{project}"]
[network]
allow = ["example.org:443"]
"""
    assert findings(bench, text) == [(3, "can_leak")]


def test_files_that_a_tool_writes_and_may_start_are_found(bench: Bench) -> None:
    assert findings(bench, 'exec = true\n[paths]\nwrite = ["{workspace}"]\n') == [(2, "exec_writable")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put data where policies may name it")
def test_code_that_others_than_root_could_change_is_found(bench: Bench) -> None:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/opt"))
    try:
        folder.chmod(0o755)
        text = f'support = ["{folder}"]\n'
        assert findings(bench, text) == []
        give(folder, SERVICE_USER)
        assert findings(bench, text) == [(2, "support_changeable")]
    finally:
        shutil.rmtree(folder)


def test_the_packaged_policies_have_no_finding(bench: Bench) -> None:
    for file in POLICIES.glob("*.toml"):
        bench.write(file.stem, file.read_text())
    assert [str(problem) for problem in found(bench)] == []
