"""What a sandbox left behind is read only where it is an ordinary file, and removed whatever it is."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import Driver, writable
from hypothesis import given
from hypothesis import strategies as st

from toolhost.sandbox.collect import (
    CollectLimits,
    CollectRefused,
    Entry,
    open_collected,
    read_collected,
    spelled,
    survey,
)
from toolhost.sandbox.removal import remove_tree

LIMIT = 1 << 20


@pytest.fixture
def held(work: Path) -> Iterator[int]:
    fd = os.open(work, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def secret(space: Path) -> Path:
    file = space / "secret"
    file.write_text("CANARY")
    return file


def refusal(held: int, path: str, limit: int = LIMIT) -> str:
    with pytest.raises(CollectRefused) as caught:
        read_collected(held, path, limit)
    assert "\n" not in caught.value.message
    assert caught.value.message.isprintable()
    return caught.value.code


def kinds(entries: Iterator[Entry]) -> dict[str, str]:
    return {entry.path: entry.kind for entry in entries}


def link(work: Path, secret: Path) -> None:
    (work / "out").symlink_to(secret)


def folder_link(work: Path, secret: Path) -> None:
    (work / "out").symlink_to(secret.parent)


def link_that_stays_inside(work: Path, secret: Path) -> None:
    (work / "real").write_text("x")
    (work / "out").symlink_to("real")


def magic_link(work: Path, secret: Path) -> None:
    (work / "out").symlink_to(f"/proc/{os.getpid()}/root/etc/passwd")


def fifo(work: Path, secret: Path) -> None:
    os.mkfifo(work / "out")


def unix_socket(work: Path, secret: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(work / "out"))


def device(work: Path, secret: Path) -> None:
    try:
        os.mknod(work / "out", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def folder(work: Path, secret: Path) -> None:
    (work / "out").mkdir()


def hard_link(work: Path, secret: Path) -> None:
    os.link(secret, work / "out")


def set_user_id(work: Path, secret: Path) -> None:
    (work / "out").write_text("x")
    (work / "out").chmod(0o4755)


def set_group_id(work: Path, secret: Path) -> None:
    (work / "out").write_text("x")
    (work / "out").chmod(0o2755)


def sparse(work: Path, secret: Path) -> None:
    with (work / "out").open("wb") as file:
        file.truncate(1 << 40)


def large(work: Path, secret: Path) -> None:
    (work / "out").write_bytes(b"x" * (LIMIT + 1))


@pytest.mark.parametrize(
    ("make", "code", "kind"),
    [
        (link, "file_is_link", "link"),
        (folder_link, "file_is_link", "link"),
        (link_that_stays_inside, "file_is_link", "link"),
        (magic_link, "file_is_link", "link"),
        (fifo, "file_not_regular", "special"),
        (unix_socket, "file_not_regular", "special"),
        (device, "file_not_regular", "special"),
        (folder, "file_not_regular", "folder"),
        (hard_link, "file_has_links", "linked"),
        (set_user_id, "file_has_set_id", "set_id"),
        (set_group_id, "file_has_set_id", "set_id"),
        (sparse, "file_too_large", "too_large"),
        (large, "file_too_large", "too_large"),
    ],
)
def test_only_an_ordinary_file_is_read(
    work: Path, held: int, secret: Path, make: Callable[[Path, Path], None], code: str, kind: str
) -> None:
    make(work, secret)
    assert refusal(held, "out") == code
    assert kinds(survey(held, CollectLimits(size=LIMIT)))["out"] == kind


def test_an_ordinary_file_is_read_to_its_last_byte(work: Path, held: int) -> None:
    (work / "a" / "b").mkdir(parents=True)
    (work / "a" / "b" / "out").write_bytes(b"x" * LIMIT)
    assert read_collected(held, "a/b/out", LIMIT) == b"x" * LIMIT


@pytest.mark.parametrize(
    "path",
    ["../secret", "a/../../secret", "/etc/passwd", "/proc/self/environ", "out\0", "", ".", "x" * 300, "x/" * 3000],
)
def test_a_path_that_is_none_is_refused(work: Path, held: int, secret: Path, path: str) -> None:
    assert refusal(held, path) in {"file_not_found", "file_is_link", "file_not_regular"}


def test_a_file_that_somebody_holds_a_lease_on_keeps_nobody_waiting(held: int, work: Path) -> None:
    (work / "out").write_text("x")
    usual = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel asks the holder to let go, who does not
    try:
        with (work / "out").open("r+") as holder:
            fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            assert refusal(held, "out") == "file_not_found"
            fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        assert read_collected(held, "out", LIMIT) == b"x"
    finally:
        signal.signal(signal.SIGIO, usual)


def test_a_file_behind_a_linked_folder_is_not_read(work: Path, held: int, secret: Path) -> None:
    (work / "folder").symlink_to(secret.parent)
    assert refusal(held, "folder/secret") == "file_is_link"
    assert "folder/secret" not in kinds(survey(held))


def test_a_large_real_file_does_not_cost_memory(work: Path, held: int) -> None:
    with (work / "out").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 28)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(held, "out") == "file_too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_a_file_that_grows_while_it_is_read_is_refused(work: Path, held: int) -> None:
    (work / "out").write_bytes(b"x" * 10)
    fd = open_collected(held, "out", 10)
    os.close(fd)
    (work / "out").write_bytes(b"x" * 11)
    assert refusal(held, "out", 10) == "file_too_large"


def test_a_sparse_file_counts_by_its_real_blocks(work: Path, held: int) -> None:
    sparse(work, work)
    (entry,) = survey(held)
    assert (entry.size, entry.allocated) == (1 << 40, 0)


NAMES = [b"\xff\n\x1b[2J", b"-rf", b"--help", b"a\nb", b"x" * 255, "\u202egnp.exe".encode(), b"a\\nb", b" ", b"\x7f"]


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_is_read_and_spelled_on_one_line(work: Path, held: int, name: bytes) -> None:
    (Path(os.fsdecode(os.fsencode(work) + b"/" + name))).write_bytes(b"content")
    (entry,) = survey(held)
    assert os.fsencode(entry.path) == name
    assert read_collected(held, entry.path, LIMIT) == b"content"
    assert spelled(entry.path).isprintable()
    assert spelled(entry.path).encode("utf-8")


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_two_names_are_never_spelled_alike(one: bytes, other: bytes) -> None:
    first, second = os.fsdecode(one), os.fsdecode(other)
    assert spelled(first).isprintable()
    assert (spelled(first) == spelled(second)) == (first == second)


def test_a_survey_stops_at_its_limits(work: Path, held: int) -> None:
    deep = work
    for _ in range(5):
        deep = deep / "d"
        deep.mkdir()
    for number in range(20):
        (work / f"file{number}").touch()
    assert len(list(survey(held, CollectLimits(count=10)))) == 10
    assert kinds(survey(held, CollectLimits(depth=2)))["d/d"] == "too_deep"
    assert "d/d/d" not in kinds(survey(held, CollectLimits(depth=2)))


def test_a_survey_passes_over_what_cannot_be_looked_into(box: Driver, work: Path, held: int) -> None:
    box.sh(
        "mkdir closed; touch closed/file; chmod 0 closed",
        "mkdir",
        "touch",
        "chmod",
        cwd="/workspace",
        roots=[writable(work)],
    )
    found = kinds(survey(held))
    assert found["closed"] == "folder"


def removed(tree: Path) -> None:
    parent = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(parent, tree.name)
    finally:
        os.close(parent)
    assert not os.path.lexists(tree)


@pytest.fixture
def quick() -> Iterator[Path]:
    """A folder in memory where there is such a place: making the files is not what is tested."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    with tempfile.TemporaryDirectory(dir=place, prefix="toolhost-test-") as made:
        yield Path(made)


def test_two_hundred_thousand_files_are_removed(quick: Path) -> None:
    for number in range(200):
        (quick / "tree" / f"folder{number}").mkdir(parents=True)
        fd = os.open(quick / "tree" / f"folder{number}", os.O_RDONLY | os.O_DIRECTORY)
        for each in range(1000):
            os.mknod(f"{each}", 0o600 | stat.S_IFREG, dir_fd=fd)
        os.close(fd)
    removed(quick / "tree")


def test_a_very_deep_tree_is_removed(quick: Path) -> None:
    (quick / "tree").mkdir()
    fd = os.open(quick / "tree", os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(10_000):
        os.mkdir("d" * 100, 0o700, dir_fd=fd)
        deeper = os.open("d" * 100, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    removed(quick / "tree")


def test_a_single_file_or_link_is_removed(work: Path, secret: Path) -> None:
    (work / "file").touch()
    (work / "link").symlink_to(secret)
    removed(work / "file")
    removed(work / "link")
    assert secret.read_text() == "CANARY"


def test_what_links_lead_to_is_not_removed(work: Path, secret: Path) -> None:
    (work / "link").symlink_to(secret.parent)
    (work / "folder").mkdir()
    (work / "folder" / "link").symlink_to(secret)
    removed(work)
    assert secret.read_text() == "CANARY"


def test_closed_folders_are_removed_by_their_owner(box: Driver, space: Path, work: Path) -> None:
    box.sh(
        "mkdir -p a/b/c; touch a/b/c/f; mkfifo a/p; chmod 0 a/b/c a/b a",
        "mkdir", "touch", "chmod", "mkfifo", cwd="/workspace", roots=[writable(work)],
    )  # fmt: skip
    assert box.ask(do="remove", path=str(work / "a")) == {}
    assert not list(work.iterdir())
