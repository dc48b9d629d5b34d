"""What takes too long for a test run: full races, hosts killed in a call, calls by the hundred. See scripts/soak."""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import soakhttp
from driver import becomes, children, no_tools, own, processes
from hosted import Hosted
from racing import Swapper

_POLICY = """
runs_code = ["sh", "python3"]
[commands]
allow = ["cat {read...}", "echo {text...}", "sh -c {text}", "python3 -c {text}"]
inside = ["sleep"]
[paths]
write = ["{workspace}"]
deny = ["one/secret", "two/secret"]
"""
_TAG = "98799"


@contextmanager
def hosting(**more: str) -> Iterator[Hosted]:
    """A host in a folder of its own, which is up."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-soak-", dir="/tmp"))
    folder.chmod(0o755)
    host = Hosted(folder, probe=_POLICY, **more)
    try:
        assert host.ask(do="facts")["problems"] == []
        yield host
    finally:
        host.close()
        shutil.rmtree(folder, ignore_errors=True)


def swapped(rounds: int) -> str:
    """A folder of the workspace becomes a link to a secret and back, while calls read through it."""
    with hosting() as host:
        secret = host.workspace.parent / "secret"
        for folder, text in ((secret, "CANARY"), (host.workspace / "d", "fine")):
            folder.mkdir()
            (folder / "file").write_text(text)
        (host.workspace / "l").symlink_to(secret)
        own(host.workspace.parent)
        seen: dict[str, int] = {}
        with Swapper(host.workspace / "d", host.workspace / "l") as swapper:
            for _ in range(rounds):
                result = host.run("cat", "d/file")
                assert "CANARY" not in json.dumps(result), result
                seen[result["stdout"] or "refused"] = seen.get(result["stdout"] or "refused", 0) + 1
        return f"{rounds} calls during {swapper.swaps} swaps: {seen}"


def masked(rounds: int) -> str:
    """Two folders with a denied file in each change places while calls start: neither is ever read."""
    with hosting() as host:
        for name in ("one", "two"):
            (host.workspace / name).mkdir()
            (host.workspace / name / "secret").write_text("CANARY")
        own(host.workspace)
        refused = 0
        with Swapper(host.workspace / "one", host.workspace / "two") as swapper:
            for _ in range(rounds):
                result = host.run("sh", "-c", "read -r x < one/secret && echo $x; read -r x < two/secret && echo $x")
                refused += (result["error"] or {}).get("code") == "mask_failed"
                assert "CANARY" not in json.dumps(result), result
        return f"{rounds} calls during {swapper.swaps} swaps, {refused} refused because a folder changed meanwhile"


def killed(rounds: int) -> str:
    """The host is killed at a random moment of eight calls; nothing of them is there a second later."""
    worst = 0.0
    for _ in range(rounds):
        with hosting() as host:
            call = {"tool": "probe.sh", "arguments": {"words": ["-c", f"sleep {_TAG} & sleep {_TAG}"]}}
            host.send(do="gather", requests=[call | {"workspace": str(host.workspace)}] * 8)
            spawners = children(host.process.pid)
            select.select([], [], [], random.random() * 0.3)
            host.process.kill()
            host.process.wait(10)
            began = time.monotonic()
            while processes(_TAG) or any(Path(f"/proc/{pid}/exe").exists() for pid in spawners):
                assert time.monotonic() - began < 1, "a process is left a second after the host was killed"
                select.select([], [], [], 0.005)
            worst = max(worst, time.monotonic() - began)
            assert os.listdir(host.workspace) == []
    return f"{rounds} hosts killed, the last process gone after {worst * 1000:.0f} ms at most"


def stalled(rounds: int) -> str:
    """bubblewrap, or the spawner, stops half-way: a typed error in bounded time, and nothing stays behind."""
    codes: dict[str, int] = {}
    for number in range(rounds):
        with hosting() as host:
            (spawner,) = children(host.process.pid)
            words = ["-c", f"sleep 0 # {_TAG}"]
            host.send(do="call", tool="probe.sh", arguments={"words": words}, workspace=str(host.workspace))
            deadline = time.monotonic() + 5
            while not (started := children(spawner)) and time.monotonic() < deadline:
                pass
            stopped = started if number % 2 else [spawner]
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            answer = host.read(60)
            code = (answer["error"] or {}).get("code", "ok")
            codes[code] = codes.get(code, 0) + 1
            assert code in {"ok", "setup_timeout", "spawner_stuck"}, answer
        for pid in [spawner, *started]:
            left = Path(f"/proc/{pid}")
            assert becomes(lambda left=left: not (left / "exe").exists(), 10), (left / "status").read_text()
    return f"{rounds} calls: {codes}; nothing left"


def crowded(rounds: int) -> str:
    """200 calls at once, again and again; descriptors, tasks, processes and mounts are what they were."""
    with hosting() as host:
        call = {"tool": "probe.echo", "arguments": {"words": ["x"]}, "workspace": str(host.workspace)}

        def crowd() -> tuple[int, dict[str, int]]:
            answers = host.ask(600, do="gather", requests=[call] * 200)["answers"]
            assert no_tools(host, 5)
            facts = host.ask(do="facts")
            spawner = children(host.process.pid)[0]
            return sum(answer.get("status") == "ok" for answer in answers), {
                "descriptors": facts["descriptors"],
                "tasks": facts["tasks"],
                "spawner's descriptors": len(os.listdir(f"/proc/{spawner}/fd")),
                "spawner's mounts": len(Path(f"/proc/{spawner}/mountinfo").read_text().splitlines()),
            }

        _, before = crowd()
        fine = 0
        for _ in range(rounds):
            ok, after = crowd()
            fine += ok
        for name, value in after.items():
            assert value <= before[name] * 1.5 + 20, f"{name}: {before[name]} before, {value} after"
        return f"{200 * rounds} calls, {fine} carried out, the rest told to wait; {before} before, {after} after"


def attacked(rounds: int) -> str:
    """Every attack of `toolhost selfattack`, again and again."""
    import subprocess

    command = [str(Path(sys.executable).parent / "toolhost"), "selfattack"]
    with hosting() as host:
        env = {"PATH": "/usr/bin:/bin", "TOOLHOST_DATA": str(host.data), "HOME": "/tmp"}
        for _ in range(rounds):
            done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return f"{rounds} times: {done.stdout.splitlines()[-1]}"


def streamed(rounds: int) -> str:
    """Two hundred conversations stream at once; every run ends once and every word arrives."""
    sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
    import chat

    delays: list[float] = []
    with chat.model_server() as url, chat.server_with(url) as server:
        person = server.set_up()
        for _ in range(rounds):
            delays += chat.crowd(server, person.bearer or "", url, conversations=200, words_per_second=5, seconds=20)
    assert len(delays) == rounds * 200 * 100, f"{len(delays)} words arrived"
    return f"{len(delays)} words, p95 {chat.p95(delays):.0f} ms after they were sent"


def written(rounds: int) -> str:
    """A writer of the database and the audit log is killed at any moment; nothing that it committed is lost."""
    import subprocess

    script = Path(__file__).with_name("killing.py")
    with tempfile.TemporaryDirectory(prefix="toolhost-soak-") as folder:
        command = [sys.executable, str(script), folder, str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=7200, check=False)
        assert done.returncode == 0, done.stderr
    return f"{rounds} kills, {json.loads(done.stdout)['committed']} commits, none lost"


SOAKS: dict[str, tuple[Callable[[int], str], int]] = {
    "swapped": (swapped, 10_000),
    "masked": (masked, 2_000),
    "killed": (killed, 100),
    "stalled": (stalled, 6),
    "crowded": (crowded, 20),
    "attacked": (attacked, 20),
    "streamed": (streamed, 3),
    "written": (written, 1_000),
    **soakhttp.SOAKS,
}


def main() -> int:
    """Run those that are asked for; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of rounds")
    parser.add_argument("names", nargs="*", default=list(SOAKS), help=", ".join(SOAKS))
    options = parser.parse_args()
    failed = 0
    print("| soak | verdict | minutes | what happened |\n|---|---|---|---|")
    for name in options.names:
        soak, rounds = SOAKS[name]
        began = time.monotonic()
        try:
            verdict, said = "held", soak(max(int(rounds * options.share), 1))
        except (AssertionError, OSError, KeyError) as error:
            verdict, said, failed = "FAILED", f"{error!r:.500}", failed + 1
        print(f"| {name} | {verdict} | {(time.monotonic() - began) / 60:.1f} | {said} |", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
