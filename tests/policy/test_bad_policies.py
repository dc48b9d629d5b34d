"""Malformed policies: each file of bad/ gives exactly the messages of the text beside it, and grants nothing."""

import os
from pathlib import Path

import pytest
from policy_bench import Bench

BAD = sorted((Path(__file__).parent / "bad").glob("*.toml"))
HOST = '[commands]\ndeny = ["dd", "mkfs*"]\n[limits]\nwall = "1h"\nmemory = "8G"\n'


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_malformed_policy_says_what_to_change_and_grants_nothing(bench: Bench, file: Path) -> None:
    target = bench.policies / "probe.toml"
    target.write_bytes(file.read_bytes())
    assert bench.problems(host=HOST) == file.with_suffix(".txt").read_text().splitlines()
    assert bench.store.policy("probe") is None


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 40


def test_a_policy_that_is_a_link_is_not_read(bench: Bench) -> None:
    (bench.folder / "elsewhere.toml").write_text('plugin = "probe"\n')
    (bench.policies / "probe.toml").symlink_to(bench.folder / "elsewhere.toml")
    (problem,) = bench.problems()
    assert problem == "probe.toml:1:1: file_is_link: A policy must be a regular file, and this is a symbolic link."


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_policy_that_others_may_write_is_not_read(bench: Bench, mode: int) -> None:
    bench.write("probe", "").chmod(mode)
    (problem,) = bench.problems()
    assert problem.startswith("probe.toml:1:1: file_writable_by_others: ")
    assert "chmod go-w" in problem


def test_a_policy_of_ten_megabytes_is_not_read(bench: Bench) -> None:
    bench.write("probe", "# " + "x" * (10 << 20) + "\n")
    assert bench.problems() == ["probe.toml:1:1: file_too_large: A policy has at most 256 KiB."]


def test_a_policy_that_is_a_pipe_does_not_block(bench: Bench) -> None:
    os.mkfifo(bench.policies / "probe.toml", 0o600)
    assert bench.problems() == ["probe.toml:1:1: not_a_file: A policy must be a regular file."]


def test_a_policy_that_is_a_folder_is_not_read(bench: Bench) -> None:
    (bench.policies / "probe.toml").mkdir(mode=0o755)
    assert bench.problems() == ["probe.toml:1:1: not_a_file: A policy must be a regular file."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[command]\n",
            "host.toml:1:2: unknown_key: The top of the file has no key `command`. Did you mean `commands`?",
        ),
        (
            '[commands]\ndeny = "dd"\n',
            'host.toml:2:8: wrong_type: `commands.deny` must be a list: write ["dd"].',
        ),
        ('[commands]\ndeny = ["dd {"]\n', "host.toml:2:13: bad_template: `{` is never closed."),
        (
            "[limits]\nwall = 5\n",
            'host.toml:2:8: wrong_type: `limits.wall` needs its unit, in a string: write "5s", for instance.',
        ),
        ('[paths]\nallow = ["srv"]\n', "host.toml:2:10: bad_value: `srv` must be a plain absolute path."),
        (
            '[workspaces]\na = { path = "/etc" }\n',
            "host.toml:2:14: root_control_plane: /etc is a folder of the system, which no tool may reach.",
        ),
        ("[workspaces]\na = { write = true }\n", "host.toml:2:5: missing_key: `workspaces.a.path` is required."),
        (
            '[workspaces]\n"A b" = { path = "/srv" }\n',
            "host.toml:2:1: bad_value: `A b`: a workspace's name is of a-z, 0-9, `-` and `_`.",
        ),
        (
            '[network]\ndeny = ["10.0.0.0"]\n',
            "host.toml:2:9: bad_value: `10.0.0.0`: an entry here names a host, never an address.",
        ),
    ],
)
def test_a_malformed_host_policy_grants_nothing_to_anyone(bench: Bench, text: str, message: str) -> None:
    assert bench.problems(host=text, probe="") == [message]
    assert bench.store.policy("probe") is None
