"""Races: a folder becomes a link between the look and the use, thousands of times. `scripts/soak` runs more rounds."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
from driver import Driver, own, writable
from hosted import Hosted
from racing import Swapper, rounds


@pytest.fixture
def swap(space: Path, work: Path) -> tuple[Path, Path]:
    """In `work`, `d` is a folder and `l` a link to a secret folder beside; the two change places."""
    secret = space / "secret"
    secret.mkdir()
    (secret / "file").write_text("CANARY")
    (work / "d").mkdir()
    (work / "d" / "file").write_text("fine")
    (work / "l").symlink_to(secret)
    own(space)
    return work / "d", work / "l"


def test_a_folder_that_becomes_a_link_leads_a_call_nowhere(host: Hosted, work: Path, swap: tuple[Path, Path]) -> None:
    seen = set()
    with Swapper(*swap) as swapper:
        for _ in range(rounds(60)):
            result = host.run("cat", "d/file", workspace=str(work))
            seen.add(result["stdout"])
            assert "CANARY" not in json.dumps(result)
    assert seen <= {"fine", ""}
    assert swapper.swaps > 1000


def test_a_sandboxed_process_that_races_itself_finds_nothing(box: Driver, work: Path, swap: tuple[Path, Path]) -> None:
    count = rounds(20_000)
    code = (
        "seen = set()\n"
        f"for _ in range({count}):\n"
        "  try: seen.add(open('/workspace/d/file').read())\n  except OSError as e: seen.add(e.errno)\nprint(seen)"
    )
    with Swapper(*swap):
        said = box.python(code, roots=[writable(work)], limits={"wall": 500, "cpu": 400})
    assert "CANARY" not in said["stdout"]
    assert "fine" in said["stdout"]


def test_a_root_that_becomes_a_link_is_refused_or_the_one_that_was_meant(
    box: Driver, space: Path, swap: tuple[Path, Path]
) -> None:
    request = {"programs": ["cat"], "arguments": ["/workspace/file"], "roots": [writable(swap[0])]}
    box.ask(keep="race", **request)
    codes = set()
    deadline = time.monotonic() + 60
    with Swapper(*swap) as swapper:
        # Until the race was also lost by the link once, which on a busy machine takes a while.
        for number in itertools.count():
            if number >= rounds(60) and ("fine" in codes or time.monotonic() > deadline):
                break
            said = box.ask(kept="race")
            codes.add(said["error"]["code"] if "error" in said else said["stdout"])
    assert codes <= {"fine", "root_is_link", "root_changed"}
    assert "fine" in codes
    assert swapper.swaps > 1000


def test_a_hidden_path_stays_hidden_while_its_folders_change(box: Driver, work: Path) -> None:
    for name in ("a", "b"):
        (work / name).mkdir()
        (work / name / "secret").write_text("CANARY")
    own(work)
    code = """
for _ in range(300):
    for name in "ab":
        try: print(open(f"/workspace/{name}/secret").read())
        except OSError: pass
"""
    with Swapper(work / "a", work / "b"):
        for _ in range(rounds(20)):
            said = box.python(code, roots=[writable(work, hidden=["a/secret", "b/secret"])])
            assert "CANARY" not in said.get("stdout", "")


# Who plants a file as soon as it is no longer covered: once its call is over, for whoever thinks so.
_PLANTS = """
import ctypes, os, threading
def plants():
    try: os.close(os.open("/workspace/.envrc", os.O_CREAT | os.O_EXCL | os.O_WRONLY)); return True
    except OSError: return False
"""

_WITHOUT_ITS_FIRST_THREAD = """
r, w = os.pipe()
def go():
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z": pass
    os.write(w, b"x")
    while not plants(): pass
if os.fork() == 0:
    threading.Thread(target=go).start()
    ctypes.CDLL(None).syscall(60, 0)  # exit: of this thread alone
os.read(r, 1)
os._exit(0)
"""

_HANDED_ON = """
r, w = os.pipe()
if os.fork() == 0:
    for _ in range(50):
        if os.fork() == 0: os._exit(0)
    os.write(w, b"x")
    while not plants():
        try:
            if os.fork(): os._exit(0)
        except OSError: pass
os.read(r, 1)
os._exit(0)
"""


@pytest.mark.parametrize("left", [_WITHOUT_ITS_FIRST_THREAD, _HANDED_ON])
@pytest.mark.parametrize("isolation", ["call", "conversation"])
def test_nothing_that_looks_ended_goes_on_after_its_call(box: Driver, work: Path, left: str, isolation: str) -> None:
    talk = {"isolation": isolation, "conversation": "left"}
    limits = {"workspace": 1 << 30, "processes": 300}  # to be measured at the end, which takes a moment
    for _ in range(rounds(3)):
        said = box.python(_PLANTS + left, roots=[writable(work, protected=[".envrc"])], limits=limits, **talk)
        assert (said["status"], said["exit_code"], said["stderr"]) == ("exited", 0, "")
    box.ask(do="disarm")  # until nothing is left
    assert list(work.iterdir()) == []
