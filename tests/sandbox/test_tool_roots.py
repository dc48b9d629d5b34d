"""Tool roots: the named programs, what they load, and nothing else."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from driver import Driver, own


def test_a_program_that_is_not_named_is_not_there(box: Driver) -> None:
    said = box.ask(programs=["ls"], arguments=["/usr/bin"])
    assert said["stdout"] == "ls\n"


def test_a_program_that_would_run_a_shell_finds_none(box: Driver) -> None:
    said = box.ask(programs=["awk"], arguments=['BEGIN { r = system("id"); print r }'])
    assert "uid=" not in said["stdout"]


def test_an_alias_leads_to_its_program_inside(box: Driver) -> None:
    said = box.sh("ls -l /usr/bin/awk; awk 'BEGIN { print 6 * 7 }'", "ls", "awk")
    assert "/usr/bin/awk -> mawk" in said["stdout"]
    assert said["stdout"].endswith("42\n")


def test_python_has_its_library(box: Driver) -> None:
    said = box.python("import ssl, sqlite3, asyncio, json, ctypes, zoneinfo; print('ok')")
    assert said["stdout"] == "ok\n"


def test_git_works(box: Driver) -> None:
    said = box.sh(
        "cd /tmp && git init -q . && git -c user.name=a -c user.email=b commit -q --allow-empty -m x"
        " && git log --format=%s",
        "git",
    )
    assert said["stdout"] == "x\n"


def test_host_files_are_there_and_cannot_be_written(box: Driver) -> None:
    script = "cat /etc/gitconfig; (echo x > /etc/gitconfig) 2>/dev/null && echo wrote; true"
    said = box.sh(script, "cat", files={"/etc/gitconfig": "[safe]\n\tdirectory = é*\n"})
    assert said["stdout"] == "[safe]\n\tdirectory = é*\n"


def test_support_folders_are_there(box: Driver) -> None:
    said = box.sh("ls /usr/share/git-core/templates", "ls", support=["/usr/share/git-core"])
    assert "info" in said["stdout"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can place files in /srv")
def test_a_library_that_others_can_write_is_support_like_any_file_and_brings_only_libraries_of_root(
    box: Driver,
) -> None:
    folder = Path("/srv/toolhost-test-library")
    folder.mkdir()
    try:
        shutil.copy(next(Path("/usr/lib").glob("*/libz.so.1")), folder / "libown.so")
        for number in range(20):
            nonsense = random.Random(number).randbytes(4096)
            (folder / f"libbroken{number}.so").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + nonsense)
        own(folder)
        code = f"import ctypes; print(ctypes.CDLL('{folder}/libown.so').zlibVersion() != 0)"
        said = box.python(code, support=[str(folder)])
        assert said["stdout"] == "True\n", said
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="a program must belong to root")
def test_a_changed_program_refuses_the_plan(box: Driver) -> None:
    program = Path("/usr/local/bin/toolhost-test-program")
    try:
        shutil.copy("/bin/true", program)
        box.ask(programs=[program.name], keep="pinned")
        assert box.ask(kept="pinned")["exit_code"] == 0
        shutil.copy("/bin/false", program)
        assert box.ask(kept="pinned")["error"]["code"] == "program_changed"
    finally:
        program.unlink(missing_ok=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program of root's")
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_program_others_can_change_is_not_pinned(box: Driver, mode: int) -> None:
    program = Path("/usr/local/bin/toolhost-test-open")
    try:
        shutil.copy("/bin/true", program)
        program.chmod(mode)
        assert box.ask(programs=[program.name])["error"]["code"] == "program_not_trusted"
    finally:
        program.unlink(missing_ok=True)


def test_a_program_in_a_folder_others_can_change_is_not_pinned(box: Driver, space: Path) -> None:
    shutil.copy("/bin/true", space / "git")
    space.chmod(0o777)
    assert box.ask(programs=[str(space / "git")])["error"]["code"] == "program_not_trusted"


@pytest.mark.parametrize("name", ["no-such-program", "", "a/b", "../bin/sh", "x\0y"])
def test_a_program_that_is_not_one_is_missing(box: Driver, name: str) -> None:
    assert box.ask(programs=[name])["error"]["code"] == "program_missing"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can place files in /srv")
def test_what_comes_to_a_support_folder_later_is_there_too(state: Path) -> None:
    folder = Path("/srv/toolhost-test-support")
    (folder / "part").mkdir(parents=True)
    try:
        for name in ("early", "late"):
            (folder / "part" / name).touch()
            driver = Driver(state)
            said = driver.sh(f"ls {folder}/part", "ls", support=[str(folder)])["stdout"]
            driver.close()
        assert said.split() == ["early", "late"]
    finally:
        shutil.rmtree(folder)


def test_a_tool_root_is_made_again_after_it_is_lost(state: Path, tmp_path: Path) -> None:
    first = Driver(state)
    assert first.sh("echo one")["stdout"] == "one\n"
    first.close()
    shutil.rmtree(state / "tool-roots" / "trees")
    second = Driver(state)
    assert second.sh("echo two")["stdout"] == "two\n"
    second.close()
