"""Backing up while a server runs, restoring into an empty folder, and refusing what is not whole."""

import fcntl
import io
import json
import os
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest
from owners import SERVICE_USER, give


@pytest.fixture
def shelf(space: Path) -> Path:
    """A folder for backups."""
    folder = space / "shelf"
    folder.mkdir()
    give(folder, SERVICE_USER)
    return folder


def users(data: Path) -> list[str]:
    connection = sqlite3.connect(data / "state" / "toolhost.db")
    try:
        return [name for (name,) in connection.execute("SELECT username FROM users ORDER BY username")]
    finally:
        connection.close()


def test_a_backup_of_a_running_server_is_restored_to_one_that_goes_on(serve, toolhost, space, shelf, data) -> None:
    toolhost("user", "add", "ada", "--role", "admin", "--password-stdin", stdin="a long enough phrase\n")
    (data / "toolhost.toml").write_text("debug = false\n")
    (data / "toolhost.toml").chmod(0o600)
    give(data / "toolhost.toml", SERVICE_USER)
    abandoned, held = data / "state" / ".staged-killed", data / "state" / ".staged-running"
    for folder in (abandoned, held):
        folder.mkdir()
        (folder / "jwt.key").write_text("secret")
        give(folder, SERVICE_USER)
    fd = os.open(held, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    serve()
    os.close(fd)
    assert (abandoned.exists(), held.exists()) == (False, True)
    busy = threading.Event()

    def work() -> None:
        while not busy.is_set():
            toolhost("call", "system.uname")

    worker = threading.Thread(target=work)
    worker.start()
    made = toolhost("backup", str(shelf / "one.tar.gz"), timeout=120)
    busy.set()
    worker.join()
    assert made.returncode == 0, made.stderr
    assert (shelf / "one.tar.gz").stat().st_mode & 0o777 == 0o600
    there = {"TOOLHOST_DATA": str(space / "restored")}
    done = toolhost("restore", str(shelf / "one.tar.gz"), env=there, timeout=120)
    assert done.returncode == 0, done.stderr
    restored = space / "restored"
    assert users(restored) == ["ada"]
    assert (data / "state" / "toolhost.db.lock").exists()
    assert not (restored / "state" / "toolhost.db.lock").exists()
    assert (restored / "state" / "jwt.key").read_bytes() == (data / "state" / "jwt.key").read_bytes()
    assert (restored / "policies" / "lock.toml").read_bytes() == (data / "policies" / "lock.toml").read_bytes()
    assert (restored / "toolhost.toml").read_text() == "debug = false\n"
    assert not (restored / "state").stat().st_mode & 0o077
    assert toolhost("call", "system.uname", env=there).returncode == 0
    assert toolhost("audit", "verify", env=there).returncode == 0
    events = [json.loads(line)["event"] for line in (restored / "state" / "audit.log").read_text().splitlines()]
    assert "backup.restored" in events


def test_a_backup_is_restored_into_an_empty_folder_only(toolhost, shelf, data) -> None:
    assert toolhost("backup", str(shelf / "one.tar.gz")).returncode == 0
    again = toolhost("backup", str(shelf / "one.tar.gz"))
    assert (again.returncode, "[file_not_made]" in again.stderr) == (2, True)
    before = (data / "state" / "audit.log").read_bytes()
    done = toolhost("restore", str(shelf / "one.tar.gz"))
    assert (done.returncode, "[data_not_empty]" in done.stderr) == (2, True)
    assert (data / "state" / "audit.log").read_bytes() == before


def repacked(source: Path, target: Path, change) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            change(new, member, content)


def a_byte(new: tarfile.TarFile, member: tarfile.TarInfo, content) -> None:
    data = bytearray(content.read())
    if member.name == "state/audit.log":
        data[10] ^= 1
    _add(new, member, bytes(data))


def a_path(new: tarfile.TarFile, member: tarfile.TarInfo, content) -> None:
    if member.name == "state/audit.log":
        member.name = "../../etc/cron.d/x"
    _add(new, member, content.read())


def a_link(new: tarfile.TarFile, member: tarfile.TarInfo, content) -> None:
    if member.name == "state/audit.log":
        link = tarfile.TarInfo("state/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        new.addfile(link)
    _add(new, member, content.read())


def a_manifest(new: tarfile.TarFile, member: tarfile.TarInfo, content) -> None:
    data = content.read()
    if member.name == "manifest.json":
        data = json.dumps({"format": 1, "files": json.loads(data)["files"]}).encode()
    _add(new, member, data)


def a_file(new: tarfile.TarFile, member: tarfile.TarInfo, content) -> None:
    if member.name != "state/audit.log":
        _add(new, member, content.read())


def _add(new: tarfile.TarFile, member: tarfile.TarInfo, data: bytes) -> None:
    member.size = len(data)
    new.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize(
    "change",
    [a_byte, a_path, a_link, a_manifest, a_file, None],
    ids=["byte", "path", "link", "manifest", "file", "cut"],
)
def test_what_is_not_as_it_was_backed_up_is_not_restored(toolhost, space, shelf, change) -> None:
    assert toolhost("backup", str(shelf / "one.tar.gz")).returncode == 0
    bad = shelf / "bad.tar.gz"
    if change is None:
        bad.write_bytes((shelf / "one.tar.gz").read_bytes()[:-2000])
    else:
        repacked(shelf / "one.tar.gz", bad, change)
    give(bad, SERVICE_USER)
    done = toolhost("restore", str(bad), env={"TOOLHOST_DATA": str(space / "restored")})
    assert (done.returncode, "[backup_damaged]" in done.stderr) == (1, True)
    assert not (space / "restored").exists() or not list((space / "restored").iterdir())


def test_an_audit_log_that_is_not_intact_is_named_instead_of_backed_up(toolhost, shelf, data) -> None:
    log = data / "state" / "audit.log"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([*lines[:1], *lines[2:]]))
    done = toolhost("backup", str(shelf / "one.tar.gz"))
    assert (done.returncode, "[backup_failed]" in done.stderr) == (1, True)
    assert "records_missing" in done.stderr
    assert not (shelf / "one.tar.gz").exists()
