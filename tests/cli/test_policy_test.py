"""`toolhost policy test`: every example with the rule that decided it, and the rules without one."""

import json
from pathlib import Path

POLICY = """plugin = "probe"

[tools]
ask = ["write"]

[commands]
allow = ["ls [-a]", "cat {read}"]
deny = ["ls -l"]

[paths]
read = ["{workspace}"]

[[tests]]
run = "ls -a"
expect = "allow"

[[tests]]
run = "cat ../x"
expect = "deny"

[[tests]]
run = "ls -l"
expect = "deny"
"""


def write(space: Path, text: str) -> str:
    file = space / "probe.toml"
    file.write_text(text)
    return str(file)


def test_each_example_is_printed_with_the_rule_that_decided_it(toolhost, space: Path) -> None:
    file = write(space, POLICY)
    done = toolhost("policy", "test", file)
    assert done.stdout.splitlines() == [
        f"{file}:13:3: as_expected: `ls -a` is allowed by {file}:7.",
        f"{file}:17:3: as_expected: `cat ../x` is denied (path_escapes_root).",
        f"{file}:21:3: as_expected: `ls -l` is denied by {file}:8.",
        f"{file}:4:8: uncovered: No example meets `write`.",
        f"{file}:7:21: uncovered: No example meets `cat {{read}}`.",
        "3 examples: 3 as expected, 0 not. 2 rules that no example meets.",
    ]
    assert done.returncode == 0


def test_an_example_that_comes_out_otherwise_fails_the_command(toolhost, space: Path) -> None:
    file = write(space, POLICY + '\n[[tests]]\nrun = "ls -x"\nexpect = "allow"\n')
    done = toolhost("policy", "test", file, "--output", "json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [example["passed"] for example in found["examples"]] == [True, True, True, False]
    assert found["examples"][0]["source"] == f"{file}:7"
    assert "The nearest is `ls [-a]` on line 7." in found["examples"][3]["message"]
    assert found["problems"] == []


def test_a_file_that_cannot_be_used_fails_the_command(toolhost, space: Path) -> None:
    done = toolhost("policy", "test", write(space, POLICY + "[comands]\n"))
    assert done.returncode == 1
    assert "unknown_key" in done.stdout
    assert "0 examples" in done.stdout


def test_the_policies_in_force_pass_their_examples(toolhost, policies: Path) -> None:
    done = toolhost("policy", "test")
    assert done.returncode == 0, done.stdout
    assert "0 not" in done.stdout
