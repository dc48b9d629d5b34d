"""Threats A, B, C and E: paths, what is executed, environment, as far as a bare sandbox decides them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from driver import Driver, own, readable, writable


@pytest.fixture
def canary(space: Path) -> Path:
    """A host secret that the service user may read, outside every root."""
    file = space / "canary"
    file.write_text("CANARY")
    file.chmod(0o644)
    return file


def test_links_made_inside_lead_nowhere(box: Driver, work: Path, canary: Path) -> None:
    script = (
        f"ln -s {canary} l; cat l; ln -s l b; ln -s b c; cat c;"
        f"cat /proc/self/root{canary} /proc/1/root{canary} /proc/self/cwd/..{canary}"
    )
    said = box.sh(script, "ln", "cat", cwd="/workspace", roots=[writable(work)])
    assert "CANARY" not in said["stdout"] + said["stderr"]


def test_links_planted_by_the_host_lead_nowhere(box: Driver, work: Path, canary: Path) -> None:
    (work / "absolute").symlink_to(canary)
    (work / "relative").symlink_to("../canary")
    (work / "up").symlink_to("../../../../../../.." + str(canary))
    for make in (readable, writable):
        said = box.sh("cat absolute relative up", "cat", cwd="/workspace", roots=[make(work, "/workspace")])
        assert "CANARY" not in said["stdout"] + said["stderr"]


def test_a_link_that_stays_inside_works(box: Driver, work: Path) -> None:
    (work / "real").write_text("fine")
    (work / "in").symlink_to("real")
    assert box.sh("cat in", "cat", cwd="/workspace", roots=[readable(work, "/workspace")])["stdout"] == "fine"


def test_hard_links_across_roots_are_refused(box: Driver, work: Path, space: Path) -> None:
    other = space / "other"
    other.mkdir()
    (other / "secret").write_text("x")
    own(other)
    script = "ln /readable/secret /workspace/h; ln /usr/bin/ln /workspace/p; true"
    box.sh(script, "ln", roots=[readable(other), writable(work)])
    assert os.listdir(work) == []


def test_a_root_itself_cannot_be_renamed_or_removed(box: Driver, work: Path) -> None:
    box.sh(
        "mv /workspace /w2; rmdir /workspace; mv /workspace/../workspace /tmp/w; true",
        "mv",
        "rmdir",
        roots=[writable(work)],
    )
    assert work.is_dir()


def test_the_mount_table_and_pid_1_tell_no_policy_and_no_other_tool(box: Driver, work: Path, space: Path) -> None:
    (space / "other").mkdir()
    own(space / "other")
    box.sh("true", roots=[readable(space / "other")])
    said = box.sh("cat /proc/self/mountinfo /proc/1/cmdline /proc/mounts", "cat", roots=[writable(work)])
    assert str(space / "other") not in said["stdout"]
    assert "--bind" not in said["stdout"]


@pytest.mark.parametrize("place", ["/workspace", "/tmp", "/dev/shm"])
def test_a_program_dropped_into_a_writable_place_does_not_run(box: Driver, work: Path, place: str) -> None:
    script = (
        f"cp /usr/bin/true {place}/e && chmod 755 {place}/e; {place}/e && echo ran;"
        f"for l in /lib64/ld-linux*; do $l {place}/e && echo loaded; done; true"
    )
    said = box.sh(script, "cp", "chmod", "true", roots=[writable(work)])
    assert said["stdout"] == ""


def test_a_program_the_host_left_in_a_root_does_not_run_unless_the_root_is_executable(box: Driver, work: Path) -> None:
    shutil.copy("/bin/true", work / "e")
    own(work)
    script = "/workspace/e && echo ran; true"
    assert box.sh(script, roots=[writable(work)])["stdout"] == ""
    assert box.sh(script, roots=[readable(work, "/workspace")])["stdout"] == ""
    assert box.sh(script, "true", roots=[writable(work, executable=True)])["stdout"] == "ran\n"


def test_a_library_dropped_into_a_writable_place_is_not_loaded(box: Driver, work: Path) -> None:
    code = (
        "import shutil, ctypes\nshutil.copy('/lib/x86_64-linux-gnu/libm.so.6', '/workspace/l.so')\n"
        "ctypes.CDLL('/workspace/l.so'); print('loaded')"
    )
    assert "loaded" not in box.python(code, roots=[writable(work)])["stdout"]


def test_programs_that_are_not_named_do_not_exist(box: Driver) -> None:
    for name in ("sh", "bash", "python3", "curl", "ld.so", "bwrap"):
        said = box.ask(programs=["test"], arguments=["-e", f"/usr/bin/{name}"])
        assert said["exit_code"] == 1


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("git", ["-c", "alias.x=!echo ran", "x"]),
        ("find", ["/usr", "-maxdepth", "0", "-exec", "sh", "-c", "echo ran", ";"]),
        ("tar", ["--checkpoint=1", "--checkpoint-action=exec=echo ran", "-cf", "/tmp/t", "/usr/bin"]),
        ("awk", ['BEGIN { system("echo ran") }']),
        ("sed", ["1e echo ran", "/etc/x"]),
    ],
)
def test_programs_that_run_others_find_no_shell(box: Driver, program: str, arguments: list[str]) -> None:
    said = box.ask(programs=[program], arguments=arguments, files={"/etc/x": "line\n"})
    assert "ran" not in said["stdout"].split()


def test_the_hosts_environment_is_nowhere(box: Driver) -> None:
    said = box.sh("env; cat /proc/*/environ /proc/*/cmdline", "env", "cat")
    assert "CANARY" not in said["stdout"] + said["stderr"]
    assert "SECRET" not in said["stdout"] + said["stderr"]


def test_the_hosts_files_are_nowhere(box: Driver) -> None:
    said = box.sh(
        "cat ~/.ssh/id_rsa ~/.aws/credentials /etc/shadow /etc/passwd /root/.netrc; ls /home /root /run /sys /var",
        "cat",
        "ls",
    )
    assert said["stdout"] == ""


def test_words_that_look_like_bubblewraps_options_are_data(box: Driver) -> None:
    words = ["--bind", "/", "/", "--args", "3", "--dev-bind", "--"]
    said = box.ask(programs=["echo"], arguments=words)
    assert said["stdout"].split() == words


@pytest.mark.parametrize("word", ["a\0b", "\ud800"])
def test_a_word_that_is_not_bytes_refuses_the_plan(box: Driver, word: str) -> None:
    assert box.ask(programs=["echo"], arguments=[word])["error"]["code"] in {"nul_in_value", "value_not_bytes"}


def test_arguments_that_are_too_long_refuse_the_plan(box: Driver) -> None:
    assert box.ask(programs=["echo"], arguments=["x" * (128 << 10)])["error"]["code"] == "argument_too_long"
    assert box.ask(programs=["echo"], arguments=["x" * 100_000] * 20)["error"]["code"] == "argument_too_long"


@pytest.mark.parametrize("name", ["A-B", "1A", "", "A=B", "BASH_FUNC_x%%", "IFS"])
def test_a_variable_name_that_is_not_one_refuses_the_plan(box: Driver, name: str) -> None:
    assert box.sh("true", env={name: "x"})["error"]["code"] == "env_name_invalid"


@pytest.mark.parametrize("target", ["/", "/proc", "/dev/x", "/usr", "/tmp", "relative", "/a/../b", "/a//b"])
def test_a_root_may_not_stand_where_the_sandbox_itself_is(box: Driver, work: Path, target: str) -> None:
    assert box.sh("true", roots=[writable(work, target)])["error"]["code"] == "root_target_invalid"


def test_a_full_scratch_or_a_flood_does_not_reach_the_host(box: Driver) -> None:
    said = box.sh("yes & yes >&2 & yes > /tmp/full; sleep 5", "yes", "sleep", limits={"output": 1 << 16, "wall": 10})
    assert (said["status"], said["limit"]) == ("limit", "output")
    assert len(said["stdout"]) <= 1 << 16


def test_no_network_of_any_kind_answers(box: Driver) -> None:
    code = (
        "import socket\nfor f, a in ((2, ('1.1.1.1', 53)), (2, ('127.0.0.1', 22)), (10, ('::1', 22))):\n"
        "  try: socket.socket(f).connect(a); print('connected')\n  except OSError: pass\n"
        "try: print(socket.getaddrinfo('example.org', 80))\nexcept OSError: print('no name')"
    )
    assert box.python(code)["stdout"] == "no name\n"
