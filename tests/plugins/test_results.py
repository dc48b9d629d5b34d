"""What a tool returns reaches its caller as what it is, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted import Hosted

CODE = '''
import base64, os
from dataclasses import dataclass
from toolhost import ToolOutput, hookimpl, tool

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)

@tool
def make() -> ToolOutput:
    """Make files."""
    os.makedirs("out/a b", exist_ok=True)
    for name, data in {"plot.png": PNG, "fake.png": b"<svg/>", "a b/notes.txt": b"x"}.items():
        with open("out/" + name, "wb") as file:
            file.write(data)
    return ToolOutput(text="made", data=[1], files=["out/plot.png", "/workspace/out/fake.png", "out/a b/notes.txt"])

@tool
def name(path: str, times: int = 1) -> ToolOutput:
    """Name a file, after making a link and a FIFO."""
    for made, how in (("link.png", lambda p: os.symlink("/etc/passwd", p)), ("fifo", os.mkfifo)):
        if not os.path.lexists(made):
            how(made)
    return ToolOutput(files=[path] * times)

@dataclass
class Place:
    name: str
    size: int

@tool
def wrong() -> Place:
    """Return what is not declared."""
    return {"name": "Oslo", "size": "large"}

@tool
def right() -> Place:
    """Return what is declared."""
    return Place("Oslo", 1)

@hookimpl
def register_tools(register):
    for one in (make, name, wrong, right):
        register(one)
'''
POLICY = """
[tools]
allow = ["make", "name", "wrong", "right"]
[paths]
write = ["{workspace}"]
deny = ["kept"]
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Hosted]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    place = folder / "data" / "plugins" / "results"
    place.mkdir(parents=True)
    (place / "plugin.toml").write_text('name = "results"\nversion = "1"\nabout = "A test."\nmodule = "results_code"\n')
    (place / "results_code.py").write_text(CODE)
    hosted = Hosted(folder, results=POLICY)
    yield hosted
    hosted.close()
    shutil.rmtree(folder, ignore_errors=True)


def call(host: Hosted, tool: str, **arguments: Any) -> dict[str, Any]:
    return host.ask(tool=f"results.{tool}", arguments=arguments, workspace=str(host.workspace))


def test_files_come_as_what_they_are(host: Hosted) -> None:
    result = call(host, "make")
    assert result["status"] == "ok", result["error"]
    text, value, plot, fake, notes = result["content"]
    assert (text["text"], value["value"]) == ("made", [1])
    assert plot == {"type": "image", "path": "out/plot.png", "media_type": "image/png", "size": 70, "url": None}
    assert (fake["type"], fake["media_type"]) == ("file", "application/octet-stream")
    assert (notes["type"], notes["path"], notes["media_type"]) == ("file", "out/a b/notes.txt", "text/plain")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("absent", "file_not_found"),
        ("link.png", "path_escapes_root"),
        ("fifo", "file_not_regular"),
        ("/etc/passwd", "path_outside_roots"),
        ("/tmp/x", "path_outside_roots"),
        ("kept/x", "path_denied"),
        ("../x", "path_escapes_root"),
        (".", "file_outside_workspace"),
        ("a\0b", "bad_path"),
    ],
)
def test_a_file_that_the_host_does_not_touch_is_no_result(host: Hosted, path: str, code: str) -> None:
    result = call(host, "name", path=path)
    assert (result["status"], result["error"]["code"], result["content"]) == ("error", code, [])


def test_a_result_names_so_many_files_and_no_more(host: Hosted) -> None:
    assert call(host, "name", path="absent", times=33)["error"]["code"] == "too_many_files"


def test_a_value_that_the_tool_does_not_declare_is_no_result(host: Hosted) -> None:
    assert call(host, "right")["content"] == [{"type": "json", "value": {"name": "Oslo", "size": 1}}]
    result = call(host, "wrong")
    assert (result["status"], result["error"]["code"], result["content"]) == ("error", "result_invalid", [])
    assert "size" in result["error"]["message"]
