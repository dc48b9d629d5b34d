"""The `python` plugin: what a snippet can do, what it shows, and what it cannot reach."""

from __future__ import annotations

import pytest

DRAW = """
import os, struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
os.makedirs("out", exist_ok=True)
with open("out/plot.png", "wb") as file:
    file.write(b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\\0\\0")) + chunk(b"IEND", b""))
open("out/table.csv", "w").write("a,b\\n")
print("drawn")
"""


def test_code_runs_only_after_a_question(ada) -> None:
    (ada.workspace / "a.py").write_text("print(1)\n")
    assert ada.decided("python.run", code="print(1)") == "ask"
    assert ada.decided("python.file", path="a.py") == "ask"
    assert ada.denied("python.file", path="/etc/passwd")
    assert ada.text("python.run", code="print(6 * 7)") == "42"


@pytest.mark.works("python.run", "python.file")
def test_a_program_has_its_arguments_its_input_and_the_modules_beside_it(ada) -> None:
    (ada.workspace / "helper.py").write_text("def greet(name): return f'Hello, {name}!'\n")
    code = "import sys, helper; print(helper.greet(sys.argv[1]), sys.argv[2:], sys.stdin.read())"
    shown = ada.text("python.run", code=code, args=["Ada", "--flag", "-x"], stdin="in")
    assert shown == "Hello, Ada! ['--flag', '-x'] in"
    (ada.workspace / "script.py").write_text(code.replace("print(", "sys.stderr.write('warned\\n'); print("))
    shown = ada.text("python.file", path="script.py", args=["Bob"])
    assert shown == "Hello, Bob! [] \n[standard error]\nwarned"


def test_images_in_out_come_back_with_the_result(ada) -> None:
    result = ada.call("python.run", code=DRAW)
    assert result["stdout"] == "drawn\n[written: out/plot.png, out/table.csv]", result
    kinds = [(part["type"], part.get("path")) for part in result["content"] if part["type"] != "text"]
    assert kinds == [("image", "out/plot.png"), ("file", "out/table.csv")]
    # The next run shows what it wrote itself, and not that again.
    assert all(part["type"] == "text" for part in ada.call("python.run", code="print(1)")["content"])


def test_a_program_that_fails_says_how(ada) -> None:
    failed = ada.call("python.run", code="print('before'); {}['x']")
    assert (failed["status"], failed["error"]["code"]) == ("error", "python_failed")
    assert failed["error"]["message"].endswith("KeyError: 'x'")
    assert "before" in failed["stderr"]
    assert ada.fails("python.run", code="while True: pass", timeout=1) == "timeout"
    assert ada.fails("python.run", code="x", timeout=0) == "invalid_arguments"
    assert ada.fails("python.file", path="missing.py") == "not_found"


def test_a_program_has_no_network_and_no_file_of_the_host(ada) -> None:
    code = "import socket; socket.create_connection(('93.184.216.34', 80), 2)"
    assert "OSError" in ada.call("python.run", code=code)["error"]["message"]
    assert "FileNotFoundError" in ada.call("python.run", code="open('/etc/passwd')")["error"]["message"]
    assert ada.fails("python.run", code="import subprocess; subprocess.run(['ls'], check=True)") == "python_failed"
