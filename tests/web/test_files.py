"""Downloading what a conversation's tools wrote: its owner, ordinary files, to be saved and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from webserver import ROOT, Person, WebServer


@pytest.fixture(scope="module")
def conversation(server: WebServer, ada: Person) -> str:
    made = ada.conversation(title="files")
    asked = ada.call("files.write", made, path="page.html", content="<script>alert(1)</script>")
    done = ada.post(f"/api/approvals/{asked.json['approval_id']}", {"decision": "approve"})
    assert done.json["status"] == "ok", done.text
    return made


@pytest.fixture(scope="module")
def folder(server: WebServer, conversation: str) -> Path:
    return server.data / "workspaces" / conversation


def place(conversation: str, path: str) -> str:
    return f"/api/conversations/{conversation}/files/{path}"


def test_a_file_is_sent_to_be_saved_and_never_to_be_shown(ada: Person, conversation: str) -> None:
    answer = ada.get(place(conversation, "page.html"))
    assert (answer.status, answer.text) == (200, "<script>alert(1)</script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename=page.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-length"] == "25"


def test_nobody_else_gets_it(server: WebServer, ada: Person, bob: Person, conversation: str) -> None:
    assert bob.get(place(conversation, "page.html")).code == "conversation_not_found"
    assert server.stranger().get(place(conversation, "page.html")).status == 401
    assert ada.get(place("v_none", "page.html")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "missing",
        "../x",
        "..%2f..%2fstate%2faudit.log",
        "%2e%2e/%2e%2e/state/audit.log",
        "%2fetc%2fpasswd",
        "page.html/../../x",
        "a%00b",
    ],
)
def test_a_path_that_leads_elsewhere_finds_nothing(ada: Person, conversation: str, path: str) -> None:
    answer = ada.get(place(conversation, path))
    assert answer.status in (308, 403, 404, 405)  # 308: to the same file, relative
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), 403, "file_is_link"),
        (lambda path: os.mkfifo(path), 403, "file_not_regular"),
        (lambda path: path.mkdir(), 403, "file_not_regular"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40), 413, "file_too_large"),
        (lambda path: (path.write_text("x"), path.chmod(0o4755)), 403, "file_has_set_id"),
        (lambda path: os.link(path.parent / "page.html", path), 403, "file_has_links"),
    ],
    ids=["link", "fifo", "folder", "sparse", "set-id", "hard link"],
)
def test_what_is_no_ordinary_file_is_refused(ada: Person, conversation: str, folder: Path, make, status, code) -> None:
    path = folder / "odd"
    make(path)
    try:
        answer = ada.get(place(conversation, "odd"))
        assert (answer.status, answer.code) == (status, code)
    finally:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_an_odd_name_cannot_write_a_header(ada: Person, conversation: str, folder: Path) -> None:
    for name in ('a"; filename=evil.html', "\u202egnp.exe", "a\r\nX-Evil: 1"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o644)
        answer = ada.get(place(conversation, quote(name)))
        assert "x-evil" not in answer.headers
        if answer.status == 200:
            assert answer.headers["content-disposition"].startswith("attachment;")
            assert "\u202e" not in answer.headers["content-disposition"]
            assert not answer.headers["content-disposition"].endswith("filename=evil.html")


def test_a_conversation_without_files_has_none(ada: Person) -> None:
    assert ada.get(place(ada.conversation(), "x")).code == "file_not_found"


def test_a_named_workspace_is_not_offered(fresh: Callable[..., WebServer], space: Path) -> None:
    (space / "shared").mkdir(mode=0o755)
    (space / "shared" / "secret").write_text("CANARY")
    shutil.copytree(ROOT / "policies", space / "policies", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (space / "policies" / "host.toml").open("a") as host:
        host.write(f'\n[workspaces]\nshared = {{ path = "{space}/shared" }}\n')
    server = fresh(TOOLHOST_POLICIES=str(space / "policies")).start()
    person = server.set_up()
    answer = person.get(place(person.conversation(workspace="shared"), "secret"))
    assert (answer.status, answer.code) == (403, "download_not_allowed")


def test_an_image_is_named_as_one_by_what_it_is(ada: Person, conversation: str, folder: Path) -> None:
    for name, head in {
        "a.txt": b"\x89PNG\r\n\x1a\n",
        "b.webp": b"RIFF\0\0\0\0WEBPVP8 ",
        "c.png": b"<svg onload=x>",
    }.items():
        (folder / name).write_bytes(head)
    kinds = [ada.get(place(conversation, name)).headers["content-type"] for name in ("a.txt", "b.webp", "c.png")]
    assert kinds == ["image/png", "image/webp", "application/octet-stream"]
