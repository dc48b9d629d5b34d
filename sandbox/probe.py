"""One verdict per layer, each from the thing itself: what `toolhost doctor` prints.

The last layers are escape attempts made in a real sandbox. A layer that fails makes the ones above it meaningless, so
the probe stops there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolhost.sandbox import bubblewrap, seccomp
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.plan import SandboxPlan
from toolhost.sandbox.programs import pin
from toolhost.sandbox.roots import root
from toolhost.sandbox.sandbox import Sandbox

__all__ = ["Check", "probe"]

_CANARY = "toolhost-canary"

# One line per attempt. Each prints ESCAPED if it succeeds; the canary itself counts as success too.
_ATTEMPTS = (
    ("files outside the roots", 'read -r x < "$1" && echo ESCAPED'),
    ("a link out of a root", "read -r x < /workspace/link && echo ESCAPED"),
    ("links through /proc", 'for p in self 1; do read -r x < "/proc/$p/root$1" && echo ESCAPED; done'),
    ("the host's environment", "grep -q . /proc/1/environ && echo ESCAPED"),
    ("writing outside the roots", "for f in /x /usr/bin/x /dev/x /proc/x; do (echo x > $f) && echo ESCAPED; done"),
    ("running a file from a writable root", "/workspace/program && echo ESCAPED"),
    ("running a file from /tmp", "cp /usr/bin/true /tmp/p && /tmp/p && echo ESCAPED"),
    ("set-id bits", "chmod u+s /workspace/program && echo ESCAPED; chmod g+s /workspace/program && echo ESCAPED"),
    ("new namespaces", "unshare -U true && echo ESCAPED; unshare -Ur -m true && echo ESCAPED"),
    ("host processes", 'kill -0 "$2" && echo ESCAPED'),
    ("raising a limit", "ulimit -n 1000000 && echo ESCAPED"),
    ("a name lookup or connection", "exec 3<>/dev/tcp/127.0.0.1/22 && echo ESCAPED"),
)  # fmt: skip
_PROGRAMS = ("bash", "grep", "cp", "true", "chmod", "unshare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One layer's verdict.

    Attributes:
        layer: What was tried.
        status: `pass`, `fail` (no tool runs), or `warn` (weaker than it could be).
        message: One sentence.
        fix: What to do, or an empty string.
    """

    layer: str
    status: Literal["pass", "fail", "warn"]
    message: str
    fix: str = ""


def probe() -> list[Check]:
    """Try every layer. Starts processes and makes a temporary folder; call it before any event loop or thread."""
    checks: list[Check] = []
    try:
        path = bubblewrap.find_bubblewrap()
        checks.append(Check(layer="bubblewrap", status="pass", message=f"{path} can be used."))
        size = len(seccomp.filter_bytes(network=False)) // 8
        checks.append(Check(layer="seccomp", status="pass", message=f"The filter has {size} instructions."))
        with _folder() as folder:
            sandbox = Sandbox.start(folder / "state")
            checks.append(Check(layer="namespaces", status="pass", message="The spawner has namespaces of its own."))
            checks += asyncio.run(_attack(sandbox, str(folder)))
    except SandboxError as error:
        checks.append(Check(layer=_layer(error.code), status="fail", message=error.message, fix=error.hint))
        return checks
    checks.append(
        Check(
            layer="memory limit",
            status="warn",
            message="Memory of a whole sandbox is limited by watching it, per process by the kernel.",
            fix="Nothing needs to be done: a call's result says which mechanism enforced each limit.",
        )
    )
    return checks


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-probe-")).resolve()
    try:
        (folder / "state").mkdir()
        (folder / "work").mkdir()
        (folder / "secret").write_text(_CANARY + "\n")
        (folder / "work" / "link").symlink_to(folder / "secret")
        shutil.copy("/bin/true", folder / "work" / "program")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _attack(sandbox: Sandbox, folder: str) -> list[Check]:
    checks: list[Check] = []
    try:
        # Bash, because it can try a connection by itself; it is there only for the attempts.
        programs = tuple(pin(name) for name in _PROGRAMS)
        roots = (root(f"{folder}/work", "/workspace", writable=True),)
        for what, script in (("a program runs", "echo started"), *_ATTEMPTS):
            words = (programs[0].path, "-c", script, "probe", f"{folder}/secret", str(os.getpid()))
            plan = SandboxPlan(
                kind="command", tool="toolhost.probe", argv=words, cwd="/workspace", programs=programs, roots=roots
            )
            outcome = await sandbox.run(plan)
            if what == "a program runs":
                checks.append(_runs(outcome.stdout == b"started\n", outcome.stderr))
            else:
                escaped = b"ESCAPED" in outcome.stdout or _CANARY.encode() in outcome.stdout + outcome.stderr
                checks.append(_escape(what, escaped))
    finally:
        await sandbox.close()
    return checks


def _runs(good: bool, stderr: bytes) -> Check:
    if good:
        return Check(layer="sandbox", status="pass", message="A program runs in a sandbox.")
    said = stderr.decode(errors="backslashreplace").strip()[:200]
    return Check(
        layer="sandbox", status="fail", message=f"A program in a sandbox does not do what it should: {said!r}."
    )


def _escape(what: str, escaped: bool) -> Check:
    if escaped:
        return Check(
            layer=f"escape: {what}",
            status="fail",
            message="The attempt succeeded: this machine's sandbox does not hold.",
            fix="Do not run tools here; report it as SECURITY.md says.",
        )
    return Check(layer=f"escape: {what}", status="pass", message="The attempt failed, as it must.")


def _layer(code: str) -> str:
    for start, layer in (("bubblewrap", "bubblewrap"), ("seccomp", "seccomp"), ("user_namespaces", "namespaces")):
        if code.startswith(start):
            return layer
    return "namespaces" if code == "namespaces_failed" else "sandbox"
