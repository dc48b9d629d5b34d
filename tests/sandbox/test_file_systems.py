"""Roots on other file systems than a disk's: what is covered is covered, and nothing is left there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import Driver, becomes, own, writable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
with_fuse = pytest.mark.skipif(
    not (shutil.which("bindfs") and os.path.exists("/dev/fuse")), reason="bindfs is not installed"
)

COVERED = {"hidden": ["secret", "no/such"], "protected": [".envrc", ".git/hooks", "commondir"]}
TRIED = """
cat /workspace/secret; echo x > /workspace/.envrc; mkdir /workspace/.git /workspace/no; echo ran > /workspace/ran
"""


@pytest.fixture
def lone(state: Path) -> Iterator[Driver]:
    """A host of this test alone."""
    driver = Driver(state)
    yield driver
    driver.close()


@pytest.fixture
def mounted(space: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system for the test."""
    place = space / "mounted"
    layers = [space / name for name in ("lower", "upper", "work")]
    for folder in (place, *layers):
        folder.mkdir()
    (layers[0] / "secret").write_text("S")
    own(space)

    def mount(kind: str) -> Path:
        if kind == "none":  # what serves it is killed
            served[0].kill()
            served[0].wait(10)
        elif kind.startswith("bindfs"):
            lower, user = str(layers[0]), ("--force-user=toolhost", "--force-group=toolhost")
            without = ("--chmod-ignore", "--create-with-perms=0755") if kind == "bindfs without modes" else ()
            served.append(subprocess.Popen(["bindfs", "-f", *user, *without, lower, str(place)]))
            assert becomes(lambda: os.path.ismount(place), within=10)
        elif kind == "overlay":
            options = ",".join(
                f"{name}dir={folder}" for name, folder in zip(("lower", "upper", "work"), layers, strict=True)
            )
            subprocess.run(["mount", "-t", kind, "-o", options, kind, place], check=True)
            own(place)
        elif kind == "bind":
            subprocess.run(["mount", "--bind", layers[0], place], check=True)
        else:
            subprocess.run(["mount", "-t", kind, kind, place], check=True)
            (place / "secret").write_text("S")
            own(place)
        return place

    served: list[subprocess.Popen[bytes]] = []
    yield mount
    subprocess.run(["umount", "-l", place], check=True)
    for each in served:
        each.kill()
        each.wait(10)


KINDS = ["tmpfs", "overlay", "bind", pytest.param("bindfs", marks=with_fuse)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"isolation": "conversation", "conversation": "c"}], ids=["call", "conversation"])
def test_what_is_covered_is_covered_on_every_file_system_and_leaves_nothing(
    lone: Driver, mounted: Callable[..., Path], kind: str, more: dict[str, str]
) -> None:
    place = mounted(kind)
    for _ in range(2):
        said = lone.sh(TRIED, "cat", "mkdir", roots=[writable(place, **COVERED)], **more)
        assert (said["exit_code"], said["stdout"], said["stderr"].count("\n")) == (0, "", 4)
        assert sorted(os.listdir(place)) == ["ran", "secret"]


def test_what_cannot_be_removed_is_removed_at_the_next_start(
    state: Path, lone: Driver, mounted: Callable[..., Path]
) -> None:
    place = mounted("tmpfs")
    lone.send(
        programs=["sh", "sleep"],
        arguments=["-c", "sleep 98735"],
        roots=[writable(place, **COVERED)],
        limits={"wall": 1},
    )
    assert becomes(lambda: sorted(os.listdir(place)) == [".envrc", ".git", "commondir", "no", "secret"], within=10)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    assert lone.read()["status"] == "timeout"
    assert lone.sh("echo here")["stdout"] == "here\n"
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)
    lone.close()
    assert ".envrc" in os.listdir(place)
    following = Driver(state)
    following.ask(do="facts")
    assert os.listdir(place) == ["secret"]
    following.close()


@with_fuse
def test_a_file_system_that_keeps_no_modes_is_refused_and_left_as_it_was(
    lone: Driver, mounted: Callable[..., Path]
) -> None:
    place = mounted("bindfs without modes")
    error = lone.sh("echo ran", roots=[writable(place, **COVERED)])["error"]
    assert (error["code"], error["type"]) == ("mask_failed", "PlanRefused")
    assert "keeps no modes" in error["text"]
    assert os.listdir(place) == ["secret"]
    said = lone.sh("cat /workspace/ran", "cat", roots=[writable(place)])
    assert said["exit_code"] == 1  # it can be used where nothing has to be made there


@with_fuse
def test_a_file_system_that_ends_under_a_call_is_the_trouble_of_its_calls_alone(
    lone: Driver, mounted: Callable[..., Path], space: Path
) -> None:
    place = mounted("bindfs")
    script = "echo > /workspace/up; while [ -e /workspace/up ]; do :; done"
    lone.send(programs=["sh"], arguments=["-c", script], roots=[writable(place, **COVERED)], limits={"wall": 20})
    assert becomes((space / "lower" / "up").exists, within=10)
    mounted("none")
    assert lone.read()["status"] == "exited"
    error = lone.sh("echo here", roots=[writable(place)])["error"]
    assert (error["code"], error["type"]) == ("root_missing", "PlanRefused")
    assert "not connected" in error["text"]
    assert lone.sh("echo here")["stdout"] == "here\n"
