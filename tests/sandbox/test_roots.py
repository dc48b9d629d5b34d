"""Roots: what is shown, what may be written, what is covered."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from driver import Driver, own, readable, writable


def test_a_writable_root_is_written_and_a_readable_one_is_not(box: Driver, work: Path, space: Path) -> None:
    other = own_folder(space, "other", text="kept")
    roots = [writable(work), readable(other)]
    said = box.sh("echo new > /workspace/f; echo new > /readable/file; cat /readable/file", "cat", roots=roots)
    assert (work / "f").read_text() == "new\n"
    assert said["stdout"] == "kept"
    assert (other / "file").read_text() == "kept"


def test_a_file_can_be_a_root(box: Driver, space: Path) -> None:
    folder = own_folder(space, "one", text="content")
    said = box.sh("cat /srv/one; ls /srv", "cat", "ls", roots=[readable(folder / "file", "/srv/one")])
    assert said["stdout"] == "contentone\n"


def test_nothing_but_the_roots_and_the_tool_root_is_there(box: Driver) -> None:
    said = box.sh("ls -A / /usr /usr/bin /tmp", "ls")
    assert box.sh("ls -A /etc", "ls")["stdout"].split() == ["ld.so.cache"]
    assert said["stdout"].splitlines() == [
        "/:", "bin", "dev", "etc", "lib", "lib64", "proc", "tmp", "usr", "",
        "/tmp:", "", "/usr:", "bin", "lib", "lib64", "", "/usr/bin:", "dash", "ls", "sh",
    ]  # fmt: skip


def test_nothing_outside_the_writable_places_can_be_written(box: Driver, work: Path) -> None:
    script = (
        "for d in / /usr /usr/bin /lib /dev /proc /workspace/..; do (echo x > $d/x) 2>/dev/null && echo wrote $d; done"
    )
    assert box.sh(script, roots=[writable(work)])["stdout"] == ""


def test_a_root_inside_a_root_keeps_its_own_rights_in_any_order(box: Driver, space: Path) -> None:
    outer = own_folder(space, "outer")
    (outer / "inner").mkdir()
    own(outer)
    script = "(echo x > /a/f) 2>/dev/null; (echo x > /a/inner/f) 2>/dev/null; true"
    for number, (one, two) in enumerate([(0, 1), (1, 0)]):
        both = [readable(outer, "/a"), writable(outer / "inner", "/a/inner")]
        box.sh(script, roots=[both[one], both[two]])
        assert not (outer / "f").exists()
        assert (outer / "inner" / "f").exists()
        os.unlink(outer / "inner" / "f")
        assert number in (0, 1)


def test_a_writable_root_inside_a_readable_one_cannot_be_moved_or_replaced(box: Driver, space: Path) -> None:
    outer = own_folder(space, "outer")
    (outer / "sub" / "inner").mkdir(parents=True)
    own(outer)
    script = "mv sub away; mv sub/inner moved; rm -rf sub/inner; ln -sT /tmp sub/inner; echo x > sub/inner/f"
    roots = [readable(outer, "/a"), writable(outer / "sub" / "inner", "/a/sub/inner")]
    box.sh(script, "mv", "rm", "ln", cwd="/a", roots=roots)
    assert os.listdir(outer) == ["sub"]
    assert os.listdir(outer / "sub") == ["inner"]
    assert os.listdir(outer / "sub" / "inner") == ["f"]


def test_a_root_that_is_a_link_is_refused(box: Driver, space: Path, work: Path) -> None:
    (space / "link").symlink_to(work)
    for source in (space / "link", space / "link" / "deeper"):
        said = box.sh("true", roots=[writable(source)])
        assert said["error"]["code"] == "root_is_link"


def test_a_root_that_is_missing_or_out_of_reach_is_refused(box: Driver, space: Path) -> None:
    assert box.sh("true", roots=[readable(space / "none")])["error"]["code"] == "root_missing"
    if os.geteuid() == 0:
        closed = space / "closed"
        (closed / "in").mkdir(parents=True)
        closed.chmod(0o700)
        assert box.sh("true", roots=[readable(closed / "in")])["error"]["code"] == "root_not_accessible"


def test_a_root_replaced_after_the_decision_is_refused(box: Driver, space: Path) -> None:
    folder = own_folder(space, "folder")
    box.sh("cat /readable/*", "cat", keep="decided", roots=[readable(folder)])
    folder.rename(space / "away")
    assert box.ask(kept="decided")["error"]["code"] == "root_missing"
    folder.symlink_to("/etc")
    assert box.ask(kept="decided")["error"]["code"] == "root_is_link"
    folder.unlink()
    own_folder(space, "folder")
    assert box.ask(kept="decided")["error"]["code"] == "root_changed"


def test_an_existing_hidden_path_is_empty_inside(box: Driver, work: Path) -> None:
    (work / "secrets").mkdir()
    (work / "secrets" / "key").write_text("CANARY")
    (work / ".env").write_text("CANARY")
    own(work)
    script = "cat secrets/key .env; ls -A secrets; echo x > secrets/new; echo x > .env; mv .env e2; rm -rf secrets .env"
    for make in (writable, readable):
        root = make(work, "/workspace", hidden=["secrets", ".env"])
        said = box.sh(script, "cat", "ls", "mv", "rm", cwd="/workspace", roots=[root])
        assert "CANARY" not in said["stdout"] + said["stderr"]
        assert (work / "secrets" / "key").read_text() == (work / ".env").read_text() == "CANARY"
        assert sorted(os.listdir(work)) == [".env", "secrets"]


def test_a_hidden_path_cannot_be_reached_by_a_link_or_by_renaming_a_folder_above_it(box: Driver, work: Path) -> None:
    (work / "a" / "b").mkdir(parents=True)
    (work / "a" / "b" / "deny").write_text("CANARY")
    (work / "way").symlink_to("a/b/deny")
    own(work)
    script = "cat way; mv a a2 && cat a2/b/deny; mv a/b b2 && cat b2/deny; mkdir -p a/b; echo evil > a/b/deny; true"
    said = box.sh(script, "cat", "mv", "mkdir", cwd="/workspace", roots=[writable(work, hidden=["a/b/deny"])])
    assert "CANARY" not in said["stdout"]
    assert (work / "a" / "b" / "deny").read_text() == "CANARY"
    assert (work / "a").is_dir()


def test_an_existing_protected_path_can_be_read_and_not_changed(box: Driver, work: Path) -> None:
    (work / ".git" / "hooks").mkdir(parents=True)
    (work / ".git" / "config").write_text("old")
    own(work)
    script = (
        "cat .git/config; echo new > .git/config; echo x > .git/hooks/post-checkout; mv .git g2;"
        "rm -f .git/config; echo ok > .git/index"
    )
    root = writable(work, protected=[".git/hooks", ".git/config"])
    said = box.sh(script, "cat", "mv", "rm", cwd="/workspace", roots=[root])
    assert said["stdout"] == "old"
    assert (work / ".git" / "config").read_text() == "old"
    assert os.listdir(work / ".git" / "hooks") == []
    assert (work / ".git" / "index").read_text() == "ok\n"


@pytest.mark.parametrize("how", ["hidden", "protected"])
def test_a_missing_covered_path_cannot_be_created_and_leaves_nothing(box: Driver, work: Path, how: str) -> None:
    script = (
        "echo x > .envrc; mkdir -p .git/hooks; echo x > .git/hooks/h; rmdir .envrc .git; mv .envrc e;"
        "echo fine > file; true"
    )
    root = writable(work, **{how: [".envrc", ".git/hooks", ".git/config"]})
    box.sh(script, "mkdir", "rmdir", "mv", cwd="/workspace", roots=[root])
    assert os.listdir(work) == ["file"]


def test_a_placeholder_stays_as_long_as_one_call_needs_it(box: Driver, work: Path) -> None:
    root = writable(work, protected=[".envrc"])
    long = {
        "programs": ["sh", "sleep"],
        "arguments": ["-c", "sleep 0.5; (echo x > /workspace/.envrc) 2>/dev/null; true"],
    }
    short = {"programs": ["sh"], "arguments": ["-c", "true"]}
    box.ask(do="gather", requests=[{**one, "roots": [root]} for one in (long, short, short)])
    assert os.listdir(work) == []


def test_a_placeholder_of_a_killed_host_is_taken_over(box: Driver, work: Path) -> None:
    (work / ".envrc").mkdir()
    own(work)
    (work / ".envrc").chmod(0o1000)
    box.sh("true", roots=[writable(work, protected=[".envrc"])])
    assert os.listdir(work) == []


def test_a_link_in_the_place_of_a_protected_path_cannot_be_used_or_replaced(box: Driver, work: Path) -> None:
    (work / "real").mkdir()
    (work / ".claude").symlink_to("real")
    own(work)
    script = "echo x > .claude/settings.json; rm -f .claude; mkdir .claude; true"
    said = box.sh(script, "rm", "mkdir", cwd="/workspace", roots=[writable(work, protected=[".claude"])])
    assert "error" not in said
    assert (work / ".claude").is_symlink()
    assert os.listdir(work / "real") == []


@pytest.mark.parametrize("path", ["../x", "/x/../../y", "a//b", ".", ""])
def test_a_covered_path_that_is_no_plain_path_refuses_the_plan(box: Driver, work: Path, path: str) -> None:
    assert box.sh("true", roots=[writable(work, hidden=[path])])["error"]["code"] == "mask_invalid"


def test_swapping_a_folder_for_a_link_while_calls_run_shows_nothing(box: Driver, space: Path) -> None:
    """A racer flips a root's parent between a folder and a link to elsewhere; reduced rounds."""
    secret = own_folder(space, "secret", text="CANARY")
    (space / "d" / "sub").mkdir(parents=True)
    (space / "d" / "sub" / "file").write_text("fine")
    (space / "evil").mkdir()
    (space / "evil" / "sub").symlink_to(secret)
    own(space)
    request = {"programs": ["cat"], "arguments": ["/readable/file"], "roots": [readable(space / "d" / "sub")]}
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            os.rename(space / "d", space / "d2")
            os.rename(space / "evil", space / "d")
            os.rename(space / "d", space / "evil")
            os.rename(space / "d2", space / "d")

    racer = threading.Thread(target=flip)
    racer.start()
    try:
        answers = [box.ask(**request) for _ in range(100)]
    finally:
        stop.set()
        racer.join()
    assert {answer.get("stdout", "") for answer in answers} <= {"", "fine"}


def test_many_roots_are_kept_and_let_go(box: Driver, space: Path) -> None:
    for number in range(40):
        folder = own_folder(space, f"r{number}", text=str(number))
        assert box.ask(programs=["cat"], arguments=["/readable/file"], roots=[readable(folder)])["stdout"] == str(
            number
        )


def test_files_made_inside_belong_to_the_service_user(box: Driver, work: Path) -> None:
    box.sh("echo x > /workspace/f", roots=[writable(work)])
    assert (work / "f").stat().st_uid == work.stat().st_uid
    assert stat.S_IMODE((work / "f").stat().st_mode) & 0o022 == 0


def own_folder(space: Path, name: str, text: str | None = None) -> Path:
    folder = space / name
    folder.mkdir()
    if text is not None:
        (folder / "file").write_text(text)
    return own(folder)
