"""Malformed policies: each file of bad/ gives exactly the messages of the text beside it, and grants nothing."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from policy_bench import Bench

from toolhost.policy import check

BAD = sorted((Path(__file__).parent / "bad").glob("*.toml"))
HOST = '[commands]\ndeny = ["dd", "mkfs*"]\n[limits]\nwall = "1h"\nmemory = "8G"\n'


SETTINGS = {
    "probe": {
        "retries": {"type": "integer", "minimum": 0, "default": 3},
        "hosts": {"type": "array", "items": {"type": "string"}, "default": []},
    }
}


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_malformed_policy_says_what_to_change_and_grants_nothing(bench: Bench, file: Path) -> None:
    target = bench.policies / "probe.toml"
    target.write_bytes(file.read_bytes())
    expected = file.with_suffix(".txt").read_text().splitlines()
    bench.store.declared = SETTINGS
    assert bench.problems(host=HOST) == expected
    assert bench.store.current.policy("probe") is None
    found = check(bench.policies, data=bench.data, plugins=bench.plugins, declared=SETTINGS)
    assert [str(problem) for problem in found] == expected


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 40


WRITABLE = (
    "file_writable_by_others: Others than its owner may write this file (mode {}), and whoever writes a policy decides "
    "what runs: run `chmod go-w` on it."
)

# What git cannot hold: each is made from a recipe, given the path of the policy.
RECIPES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (
        lambda file: file.symlink_to("host.toml"),
        "file_is_link: A policy must be a regular file, and this is a symbolic link: put the file itself here.",
    ),
    "a pipe": (lambda file: os.mkfifo(file, 0o600), "not_a_file: A policy must be a regular file, and this is a pipe."),
    "a folder": (
        lambda file: file.mkdir(mode=0o755),
        "not_a_file: A policy must be a regular file, and this is a folder.",
    ),
    "a socket": (
        lambda file: os.mknod(file, 0o600 | stat.S_IFSOCK),
        "file_unreadable: The file cannot be opened: No such device or address.",
    ),
    "ten megabytes": (
        lambda file: file.write_text("# " + "x" * (10 << 20) + "\n"),
        "file_too_large: The file has more than 256 KiB, the most that is read of a policy: is it one?",
    ),
    **{
        f"mode {mode:o}": (
            lambda file, mode=mode: (file.touch(), file.chmod(mode)),
            WRITABLE.format(f"{mode:04o}"),
        )
        for mode in (0o666, 0o664, 0o646)
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_policy_that_is_no_plain_file_of_its_owner_is_not_read(bench: Bench, name: str) -> None:
    make, message = RECIPES[name]
    make(bench.policies / "probe.toml")
    assert bench.problems() == [f"probe.toml:1:1: {message}"]


def test_roots_over_the_host_s_own_folders_are_refused(bench: Bench) -> None:
    state, others = bench.data / "state", bench.data / "workspaces"
    state.mkdir()
    others.mkdir()
    text = f'[paths]\nread = [\n"{bench.data}",\n"{state}/x",\n"{bench.policies}",\n"{bench.plugins}",\n"{others}"]\n'
    assert [problem.partition(" root_control_plane: ")[2] for problem in bench.problems(probe=text)] == [
        f"{bench.data} holds {state}, the host's own state, which no tool may reach.",
        f"{state}/x is part of {state}, the host's own state, which no tool may reach.",
        f"{bench.policies} is the policies folder, which no tool may reach.",
        f"{bench.plugins} is the plugins folder, which no tool may reach.",
        f"{others} holds the workspaces of all conversations.",
    ]


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
            'host.toml:2:8: wrong_type: `limits.wall` needs its unit (s, m, h), in a string: write "5s", for instance.',
        ),
        ('[paths]\nallow = ["srv"]\n', "host.toml:2:10: bad_value: `srv` must be a plain absolute path."),
        (
            '[workspaces]\na = { path = "/etc" }\n',
            "host.toml:2:14: root_control_plane: /etc is a folder of the system, which no tool may reach.",
        ),
        (
            "[workspaces]\na = { write = true }\n",
            'host.toml:2:5: missing_key: `workspaces.a.path` is required: write path = "/srv/...".',
        ),
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
    assert bench.store.current.policy("probe") is None
