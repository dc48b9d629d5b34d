"""The `archive` plugin: what it makes it can read, and what means harm it refuses whole."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest


def tree(folder: Path) -> None:
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "a.txt").write_text("hello\n" * 100)
    (folder / "src" / "deep" / "ü.sh").write_text("#!/bin/sh\n")
    (folder / "src" / "deep" / "ü.sh").chmod(0o755)
    (folder / "src" / "link").symlink_to("a.txt")


def tar(path: Path, *members: tuple[str, bytes, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = 2 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"x\n"))


FILE = tarfile.REGTYPE


@pytest.mark.works("archive.create", "archive.list", "archive.extract")
@pytest.mark.parametrize("ending", ["zip", "tar", "tgz", "tar.xz"])
def test_what_was_archived_comes_out_again(ada, ending: str) -> None:
    tree(ada.workspace)
    name = f"x.{ending}"
    made = ada.call("archive.create", archive=name, sources=["src"])
    assert "with 2 files of 610 bytes" in made["stdout"], made
    assert made["stdout"].endswith("links or special: src/link")
    assert [entry["name"] for entry in ada.value("archive.list", archive=name)] == ["src/a.txt", "src/deep/ü.sh"]
    assert ada.text("archive.extract", archive=name, into="out") == "Extracted 2 files, 610 bytes, into out."
    script = ada.workspace / "out" / "src" / "deep" / "ü.sh"
    assert script.read_text() == "#!/bin/sh\n"
    assert script.stat().st_mode & 0o100
    assert ada.fails("archive.extract", archive=name, into="out") == "unsafe_archive"  # it is there already
    ada.text("archive.extract", archive=name, into="part", members=["src/deep"])
    assert not (ada.workspace / "part" / "src" / "a.txt").exists()


def test_listing_is_allowed_and_the_rest_asks_and_stays_in_the_workspace(ada) -> None:
    tree(ada.workspace)
    ada.text("archive.create", archive="x.zip", sources=["src"])
    assert ada.decided("archive.list", archive="x.zip") == "allow"
    assert ada.decided("archive.extract", archive="x.zip", into="out") == "ask"
    assert ada.decided("archive.create", archive="y.zip", sources=["src"]) == "ask"
    assert ada.denied("archive.list", archive="/etc/x.zip")
    assert ada.denied("archive.extract", archive="x.zip", into="../out")
    assert ada.denied("archive.create", archive="y.zip", sources=["/etc/passwd"])


BAD = (
    ("../up", FILE, "leads out of the folder"),
    ("a/../../up", FILE, "leads out of the folder"),
    ("/absolute", FILE, "absolute"),
    ("C:\\windows", FILE, "absolute"),
    ("..\\up", FILE, "leads out of the folder"),
    ("link", tarfile.SYMTYPE, "it is a link"),
    ("hard", tarfile.LNKTYPE, "it is a link"),
    ("device", tarfile.CHRTYPE, "special file"),
    ("pipe", tarfile.FIFOTYPE, "special file"),
    ("new\nline", FILE, "control characters"),
    (".git/hooks/post-checkout", FILE, "other programs obey"),
)


@pytest.mark.parametrize(("name", "kind", "reason"), BAD, ids=[repr(name) for name, _, _ in BAD])
def test_an_archive_with_a_member_that_means_harm_is_refused_with_the_reason(ada, name, kind, reason) -> None:
    tar(ada.workspace / "bad.tgz", ("good", FILE, ""), (name, kind, "good"))
    refused = ada.call("archive.extract", archive="bad.tgz", into="out")
    assert refused["error"]["code"] == "unsafe_archive"
    assert reason in refused["error"]["message"]
    assert not (ada.workspace / "out").exists()
    assert reason in ada.text("archive.list", archive="bad.tgz")
    ada.text("archive.extract", archive="bad.tgz", into="out", skip=True)
    assert [path.name for path in (ada.workspace / "out").rglob("*")] == ["good"]
    assert not (ada.workspace / "up").exists()


def test_what_is_encrypted_or_sparse_is_refused_with_the_reason(ada) -> None:
    here = ada.workspace
    with zipfile.ZipFile(here / "locked.zip", "w") as archive:
        archive.writestr("secret", b"x")
    raw = bytearray((here / "locked.zip").read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # "encrypted", in both of its headers
        raw[raw.index(signature) + flags] |= 1
    (here / "locked.zip").write_bytes(raw)
    with (here / "holes").open("wb") as file:
        file.truncate(64 << 20)
        file.write(b"end")
    subprocess.run(["tar", "--sparse", "-C", here, "-cf", here / "holes.tar", "holes"], check=True, timeout=60)
    for name, reason in (("locked.zip", "it is encrypted"), ("holes.tar", "it is sparse")):
        refused = ada.call("archive.extract", archive=name, into="out")
        assert (refused["error"]["code"], reason in refused["error"]["message"]) == ("unsafe_archive", True), refused
        assert reason in ada.text("archive.list", archive=name)
    assert not (here / "out").exists()


def test_members_that_would_meet_each_other_are_refused(ada) -> None:
    tar(ada.workspace / "bad.tgz", ("a", FILE, ""), ("a", FILE, ""), ("a/b", FILE, ""))
    message = ada.call("archive.extract", archive="bad.tgz", into="out")["error"]["message"]
    assert "because of 2 of 3 members" in message
    (ada.workspace / "aside").mkdir()
    (ada.workspace / "link").symlink_to("aside")
    tar(ada.workspace / "good.tgz", ("a", FILE, ""))
    ada.call("archive.extract", archive="good.tgz", into="link/in")
    assert list((ada.workspace / "aside").iterdir()) in ([], [ada.workspace / "aside" / "in"])


def test_bombs_and_damage_are_refused_and_leave_nothing(ada) -> None:
    here = ada.workspace
    with zipfile.ZipFile(here / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", b"\0" * (1 << 20))
    # What the archive claims of itself, made into two gigabytes.
    raw = bytearray((here / "bomb.zip").read_bytes())
    at = raw.rindex(b"PK\1\2") + 24
    raw[at : at + 4] = (2 << 30).to_bytes(4, "little")
    (here / "bomb.zip").write_bytes(raw)
    assert ada.fails("archive.extract", archive="bomb.zip", into="out") == "archive_bomb"
    assert not (here / "out").exists()
    whole = gzip.compress(b"line\n" * 1000)
    (here / "log.gz").write_bytes(whole)
    (here / "cut.gz").write_bytes(whole[:-20])
    (here / "text.txt").write_text("text")
    assert ada.text("archive.extract", archive="log.gz", into="log") == "Extracted 1 file, 4.9 KiB, into log."
    assert ada.fails("archive.extract", archive="cut.gz", into="out") == "damaged_archive"
    assert not (here / "out").exists()
    assert ada.fails("archive.list", archive="text.txt") == "not_an_archive"
    assert ada.fails("archive.list", archive="missing") == "not_found"
    assert ada.fails("archive.create", archive="x.rar", sources=["log"]) == "not_an_archive"
    assert ada.fails("archive.create", archive="log.gz", sources=["log"]) == "not_an_archive"


def test_a_header_that_lies_is_damage_and_a_name_without_end_is_cut(ada) -> None:
    with tarfile.open(ada.workspace / "map.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
        archive.addfile(info)
    assert ada.fails("archive.list", archive="map.tar") == "damaged_archive"
    with tarfile.open(ada.workspace / "long.tgz", "w:gz", compresslevel=1) as archive:
        archive.addfile(tarfile.TarInfo("\u202e" + "a" * (6 << 20)))
    assert "\\u202eaaa" in ada.text("archive.list", archive="long.tgz")
    refused = ada.call("archive.extract", archive="long.tgz", into="out")["error"]
    assert refused["code"] == "unsafe_archive"
    assert "aaa…': its name is too long" in refused["message"]
