"""Where roots and workspaces may lie."""

import os
from pathlib import Path

import pytest
from policy_bench import Bench

from toolhost.errors import UsageError
from toolhost.policy import check_workspace


@pytest.mark.parametrize(
    "name", ["data", "data/state", "data/state/keys", "data/policies", "data/plugins", "data/workspaces", ""]
)
@pytest.mark.parametrize("key", ["read", "write"])
def test_no_root_touches_the_control_plane(bench: Bench, key: str, name: str) -> None:
    folder = bench.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    (problem,) = bench.problems(probe=f'[paths]\n{key} = ["{folder}"]\n')
    assert problem.startswith("probe.toml:3:")
    assert "root_control_plane" in problem


def test_a_folder_of_workspaces_may_be_a_root(bench: Bench) -> None:
    folder = bench.data / "workspaces" / "c_1"
    folder.mkdir(parents=True)
    bench.load(probe=f'[paths]\nwrite = ["{folder}"]\n')


def test_a_root_that_is_a_link_is_refused_by_name(bench: Bench) -> None:
    link = bench.folder / "link"
    link.symlink_to(bench.workspace)
    for path in (link, link / "sub"):
        (problem,) = bench.problems(probe=f'[paths]\nread = ["{path}"]\n')
        assert "root_is_link" in problem
        assert str(path) in problem


def test_a_twin_of_the_control_planes_name_may_be_a_root(bench: Bench) -> None:
    folder = bench.folder / "data2"
    folder.mkdir()
    bench.load(probe=f'[paths]\nread = ["{folder}"]\n')


def test_the_host_says_where_roots_may_lie(bench: Bench) -> None:
    allowed, other = bench.folder / "allowed", bench.folder / "allowed2"
    (allowed / "a").mkdir(parents=True)
    other.mkdir()
    host = f'[paths]\nallow = ["{allowed}"]\n'
    bench.load(host=host, probe=f'[paths]\nread = ["{allowed}/a"]\n')
    (problem,) = bench.problems(host=host, probe=f'[paths]\nread = ["{other}"]\n')
    assert "root_not_allowed" in problem
    with pytest.raises(UsageError) as caught:
        check_workspace(other, bench.store.current)
    assert caught.value.code == "workspace_not_allowed"
    bench.problems(host="[paths]\nallow = []\n", probe="")
    with pytest.raises(UsageError, match="none of the places"):
        check_workspace(allowed, bench.store.current)


def test_a_project_folder_may_be_a_workspace(bench: Bench) -> None:
    check_workspace(bench.workspace, bench.store.current)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc",
        "/home",
        "/home/somebody",
        "/root",
        "/usr/share",
        "/tmp",
        "/proc/self",
        "relative",
        "/srv/../etc",
        "/srv/",
    ],
)
def test_a_folder_that_may_be_no_root_is_no_workspace(bench: Bench, path: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_workspace(Path(path) if path != "/srv/" else Path("/srv/x/../y"), bench.store.current)
    assert caught.value.code == "workspace_not_allowed"


def test_a_workspace_is_a_folder_that_exists_under_its_own_name(bench: Bench) -> None:
    (bench.folder / "link").symlink_to(bench.workspace)
    (bench.folder / "file").write_text("")
    for name, code in (
        ("link", "workspace_not_allowed"),
        ("file", "workspace_not_allowed"),
        ("none", "workspace_not_accessible"),
    ):
        with pytest.raises(UsageError) as caught:
            check_workspace(bench.folder / name, bench.store.current)
        assert caught.value.code == code, name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not enter")
def test_a_workspace_out_of_reach_names_the_command_that_lets_toolhost_in(bench: Bench) -> None:
    closed = bench.folder / "closed"
    (closed / "project").mkdir(parents=True)
    closed.chmod(0o700)
    for parent in bench.folder.parents:
        parent.chmod(parent.stat().st_mode | 0o111)
    bench.folder.chmod(0o755)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            check_workspace(closed / "project", bench.store.current)
        except UsageError as error:
            os.write(write, f"{error.code} {error.hint}".encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as answer:
        said = answer.read()
    assert said.startswith("workspace_not_accessible ")
    assert f"setfacl -m u:65534:x {closed}" in said
    assert f"setfacl -R -m u:65534:rwX -m d:u:65534:rwX {closed}/project" in said
