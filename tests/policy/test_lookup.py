"""Paths: what lies inside the roots is found and renamed, what leads out is refused, whatever it is called."""

import os
from pathlib import Path

import pytest
from policy_bench import Bench

RULES = '[commands]\nallow = ["cat {read...}", "touch {write}"]\n[paths]\n'


@pytest.fixture
def roots(bench: Bench) -> Bench:
    """A writable workspace and a readable folder beside it, with links in and out."""
    reference = bench.folder / "reference"
    (reference / "sub").mkdir(parents=True)
    (reference / "r.txt").write_text("r")
    secret = bench.folder / "secret"
    secret.mkdir()
    (secret / "canary").write_text("CANARY")
    workspace = bench.workspace
    (workspace / "real").mkdir()
    (workspace / "real" / "f.txt").write_text("f")
    (workspace / "a..b.txt").write_text("dots")
    (workspace / "in").symlink_to("real")
    (workspace / "out").symlink_to(secret)
    (workspace / "up").symlink_to("../secret/canary")
    (workspace / "dangling").symlink_to("../secret/new")
    (workspace / "loop").symlink_to("loop")
    (workspace / "proc").symlink_to("/proc/self/root")
    os.mkfifo(workspace / "fifo")
    bench.load(probe=f'{RULES}read = ["{reference}"]\nwrite = ["{{workspace}}"]\ndeny = ["private", "real/hidden"]\n')
    return bench


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("real/f.txt", "real/f.txt"),
        ("./real/../real/f.txt", "./real/../real/f.txt"),
        ("in/f.txt", "in/f.txt"),
        ("a..b.txt", "a..b.txt"),
        ("-x", "./-x"),
        ("fifo", "fifo"),
        ("missing/deeper", "missing/deeper"),
        (".", "."),
        ("/workspace/real/f.txt", "/workspace/real/f.txt"),
        ("/workspace", "/workspace"),
        ("//workspace/./real/", "/workspace/real/"),
        ("~/x", "~/x"),
        ("$HOME/x", "$HOME/x"),
        ("%2e%2e/x", "%2e%2e/x"),
        ("..\\x", "..\\x"),
        ("a b;id", "a b;id"),
    ],
)
def test_a_path_inside_is_passed_on(roots: Bench, path: str, spelled: str) -> None:
    assert roots.argv(("cat", path)) == ("/usr/bin/cat", spelled)


def test_a_host_path_gets_its_name_inside(roots: Bench) -> None:
    assert roots.argv(("cat", f"{roots.workspace}/real/f.txt"))[1] == "/workspace/real/f.txt"
    reference = f"{roots.folder}/reference/r.txt"
    assert roots.argv(("cat", reference))[1] == reference


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../secret/canary", "path_escapes_root"),
        ("real/../../secret/canary", "path_escapes_root"),
        ("./././../..", "path_escapes_root"),
        ("up", "path_escapes_root"),
        ("out/canary", "path_escapes_root"),
        ("out", "path_escapes_root"),
        ("dangling", "path_escapes_root"),
        ("loop", "path_escapes_root"),
        ("proc/etc/passwd", "path_escapes_root"),
        ("/workspace/../etc/passwd", "path_escapes_root"),
        ("/etc/passwd", "path_outside_roots"),
        ("//etc/passwd", "path_outside_roots"),
        ("/", "path_outside_roots"),
        ("/proc/self/root/etc/passwd", "path_outside_roots"),
        ("/proc/1/root/etc/passwd", "path_outside_roots"),
        ("/workspace2/x", "path_outside_roots"),
        ("", "bad_path"),
        ("a\0b", "bad_path"),
        ("a\nb", "bad_path"),
        ("a\rb", "bad_path"),
        ("a\x1b[2Jb", "bad_path"),
        ("a\udcffb", "bad_path"),
        ("x" * 300, "bad_path"),
        ("x/" * 2500, "bad_path"),
        ("private", "path_denied"),
        ("private/x", "path_denied"),
        ("in/hidden", "path_denied"),
        ("in/../private/x", "path_denied"),
    ],
)
def test_a_path_that_leads_out_is_refused(roots: Bench, path: str, code: str) -> None:
    decision = roots.decide(("cat", path))
    assert (decision.outcome, decision.code, decision.source) == ("deny", code, "probe.toml:3")
    assert decision.reason.isprintable()
    assert len(decision.reason) < 400


@pytest.mark.parametrize("name", ["workspace2", "workspace_evil", "reference2"])
def test_a_twin_of_a_roots_name_is_outside(roots: Bench, name: str) -> None:
    twin = roots.folder / name
    twin.mkdir()
    (twin / "f").write_text("x")
    assert roots.decide(("cat", str(twin / "f"))).code == "path_outside_roots"


@pytest.mark.parametrize("path", ["new.txt", "real/new.txt", "in/new.txt", "none/new.txt", "/workspace/new.txt"])
def test_a_file_to_be_written_need_not_exist(roots: Bench, path: str) -> None:
    assert roots.argv(("touch", path))[1] == path


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("up", "path_escapes_root"),
        ("dangling", "path_escapes_root"),
        ("out/new", "path_escapes_root"),
        (".git/hooks/pre-commit", "path_protected"),
        (".git/config", "path_protected"),
        (".bashrc", "path_protected"),
        ("real/../.vscode/tasks.json", "path_protected"),
    ],
)
def test_what_must_not_be_written_is_refused(roots: Bench, path: str, code: str) -> None:
    assert roots.decide(("touch", path)).code == code


def test_a_root_to_be_read_is_not_written(roots: Bench) -> None:
    assert roots.decide(("touch", f"{roots.folder}/reference/new")).code == "path_read_only"


def test_a_link_to_what_is_protected_is_refused_like_it(roots: Bench) -> None:
    (roots.workspace / ".git").mkdir()
    (roots.workspace / "innocent").symlink_to(".git")
    assert roots.decide(("touch", "innocent/config")).code == "path_protected"


def test_an_inner_root_governs_what_is_in_it(bench: Bench) -> None:
    outer, inner = bench.folder / "outer", bench.folder / "outer" / "inner"
    inner.mkdir(parents=True)
    (outer / "link").symlink_to("inner")
    bench.load(probe=f'{RULES}read = ["{inner}"]\nwrite = ["{outer}", "{{workspace}}"]\n')
    assert bench.decide(("touch", f"{outer}/x")).outcome == "allow"
    assert bench.decide(("touch", f"{inner}/x")).code == "path_read_only"
    assert bench.decide(("touch", f"{outer}/link/x")).code == "path_read_only"
    plan = bench.command(("touch", f"{outer}/x")).plan
    assert plan is not None
    assert [root.target for root in plan.roots] == ["/workspace", str(outer), str(inner)]


def test_paths_are_relative_to_the_working_folder(roots: Bench) -> None:
    assert roots.argv(("cat", "f.txt"), cwd="/workspace/real") == ("/usr/bin/cat", "f.txt")
    assert roots.argv(("cat", "../a..b.txt"), cwd="/workspace/real")[1] == "../a..b.txt"
    assert roots.decide(("cat", "../../x"), cwd="/workspace/real").code == "path_escapes_root"
    assert roots.command(("cat", "f.txt"), cwd=f"{roots.workspace}/real").plan.cwd == "/workspace/real"
    assert roots.decide(("cat", "canary"), cwd="/workspace/out").code == "cwd_outside_roots"
    assert roots.decide(("cat", "x"), cwd="/workspace/a..b.txt").code == "cwd_missing"


def test_a_root_may_be_one_file(bench: Bench) -> None:
    file = bench.folder / "one.txt"
    file.write_text("1")
    bench.load(probe=f'{RULES}read = ["{file}", "{{workspace}}"]\n')
    assert bench.argv(("cat", str(file)))[1] == str(file)
    assert bench.decide(("cat", f"{file}2")).code == "path_outside_roots"


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string", "format": "read-path"}, "in/f.txt", "in/f.txt"),
        ({"type": "string", "format": "read-path"}, "-x", "./-x"),
        ({"type": "array", "items": {"format": "read-path"}}, ["a", "/workspace/b"], ["a", "/workspace/b"]),
        ({"anyOf": [{"type": "string", "format": "read-path"}, {"type": "null"}]}, None, None),
        ({"anyOf": [{"type": "string", "format": "read-path"}, {"type": "null"}]}, "x", "x"),
        ({"type": "string"}, "../anything", "../anything"),
    ],
)
def test_a_workers_path_arguments_are_named_as_they_are_inside(roots: Bench, schema, value, expected) -> None:
    roots.load(probe='[tools]\nallow = ["read"]\n[paths]\nwrite = ["{workspace}"]\n')
    considered = roots.worker("probe.read", {"path": value}, {"path": schema})
    assert considered.decision.outcome == "allow"
    assert considered.arguments == {"path": expected}
    assert considered.plan.kind == "worker"


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("read-path", "up", "path_escapes_root"),
        ("read-path", "/etc/passwd", "path_outside_roots"),
        ("read-path", "a\0", "bad_path"),
        ("write-path", ".git/config", "path_protected"),
        ("read-path", ["ok", "../x"], "path_escapes_root"),
        ("read-path", 7, "bad_path"),
    ],
)
def test_a_workers_path_argument_that_leads_out_denies_the_call(roots: Bench, kind: str, value, code: str) -> None:
    roots.load(probe='[tools]\nallow = ["read"]\n[paths]\nwrite = ["{workspace}"]\n')
    considered = roots.worker("probe.read", {"path": value}, {"path": {"items": {"format": kind}, "format": kind}})
    assert (considered.decision.code, considered.plan) == (code, None)


def test_a_root_swapped_for_a_link_while_paths_are_looked_up_gives_nothing(roots: Bench) -> None:
    """The flip happens between calls here; that the kernel walks from the descriptor is what the race needs."""
    inner = roots.workspace / "flip"
    target = roots.folder / "secret"
    for number in range(200):
        if number % 2:
            inner.rmdir()
            inner.symlink_to(target)
        elif number:
            inner.unlink()
            inner.mkdir()
        else:
            inner.mkdir()
        decision = roots.decide(("cat", "flip/canary"))
        assert decision.code == ("path_escapes_root" if number % 2 else "rule_allow")


def test_looking_up_leaves_no_descriptor_open(roots: Bench) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    roots.decide(("cat", "in/f.txt"))
    before = count()
    for path in ("in/f.txt", "up", "none/x", "private", "/etc/passwd", "real"):
        roots.decide(("cat", path))
        roots.decide(("touch", path))
    assert count() == before
