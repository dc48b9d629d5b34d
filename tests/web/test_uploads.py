"""Files that people put into a workspace: beneath it, through no link, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from driver import own
from webserver import Person, WebServer

from toolhost.uploads import LARGEST


@pytest.fixture(scope="module")
def conversation(server: WebServer, ada: Person) -> str:
    return ada.conversation(title="uploads")


@pytest.fixture(scope="module")
def folder(server: WebServer, conversation: str) -> Path:
    return server.data / "workspaces" / conversation


def put(person: Person, conversation: str, path: str, content: bytes = b"x", query: str = ""):
    return person.request("PUT", f"/api/conversations/{conversation}/files/{path}{query}", raw=content)


def test_a_file_is_there_as_it_was_sent_and_a_tool_reads_it(ada: Person, conversation: str, folder: Path) -> None:
    answer = put(ada, conversation, "notes/today.txt", b"plant an oak\n")
    assert (answer.status, answer.json) == (201, {"path": "notes/today.txt", "size": 13})
    assert (folder / "notes" / "today.txt").read_bytes() == b"plant an oak\n"
    assert (folder / "notes" / "today.txt").stat().st_mode & 0o7133 == 0
    assert "plant an oak" in ada.call("files.read", conversation, path="notes/today.txt").text
    listed = ada.get(f"/api/conversations/{conversation}/files").json["files"]
    assert [(one["path"], one["kind"], one["size"]) for one in listed] == [
        ("notes", "folder", 0),
        ("notes/today.txt", "file", 13),
    ]


def test_what_is_there_is_replaced_only_when_that_is_said(ada: Person, conversation: str, folder: Path) -> None:
    assert put(ada, conversation, "twice.txt", b"one").status == 201
    assert put(ada, conversation, "twice.txt", b"two").code == "upload_exists"
    assert (folder / "twice.txt").read_bytes() == b"one"
    assert put(ada, conversation, "twice.txt", b"two", "?replace=true").status == 201
    assert (folder / "twice.txt").read_bytes() == b"two"
    assert sorted(one.name for one in folder.iterdir() if one.name.startswith(".up")) == []


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "..%2fx",
        "%2e%2e/x",
        ".git/config",
        "a/.envrc",
        ".bashrc",
        "a//b",
        "a%00b",
        "a%0ab",
        "%E2%80%AEx",
        "x%5cy",
    ],
)
def test_no_path_leads_out_or_to_what_programs_obey(ada: Person, conversation: str, path: str) -> None:
    assert put(ada, conversation, path).status in (308, 404, 405, 422)


def test_no_link_is_followed_and_nothing_is_overwritten_through_one(
    ada: Person, conversation: str, folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "outside"
    target.mkdir(mode=0o777)
    (target / "file").write_text("outside")
    tmp_path.chmod(0o755)
    own(target)
    put(ada, conversation, "here.txt")
    (folder / "away").symlink_to(target)
    (folder / "single").symlink_to(target / "file")
    assert put(ada, conversation, "away/file", b"y", "?replace=true").code == "upload_not_allowed"
    assert put(ada, conversation, "single", b"y").code == "upload_exists"
    assert put(ada, conversation, "single", b"y", "?replace=true").status == 201
    assert not (folder / "single").is_symlink()
    assert put(ada, conversation, "here.txt/below", b"y").code == "upload_not_allowed"
    assert (target / "file").read_text() == "outside"
    assert os.listdir(target) == ["file"]


def test_size_owner_and_named_workspaces_are_kept_to(ada: Person, bob: Person, conversation: str) -> None:
    assert put(ada, conversation, "large", b"x" * (LARGEST + 1)).status == 413
    assert put(ada, conversation, "large", b"x" * (3 << 20)).status == 201
    assert put(bob, conversation, "mine").code == "conversation_not_found"
    assert bob.get(f"/api/conversations/{conversation}/files").code == "conversation_not_found"
