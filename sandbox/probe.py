"""One verdict per layer, each from the thing itself: what `toolhost doctor` prints.

The last layers are escape attempts made in a real sandbox. A layer that fails makes the ones above it meaningless, so
the probe stops there.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolhost.sandbox import bubblewrap, seccomp
from toolhost.sandbox.attacks import ATTACKS
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.outcome import Outcome
from toolhost.sandbox.plan import SandboxPlan
from toolhost.sandbox.programs import pin
from toolhost.sandbox.sandbox import Sandbox
from toolhost.sandbox.selfattack import Result, attack_all

__all__ = ["Check", "probe"]


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
        with tempfile.TemporaryDirectory(prefix="toolhost-probe-", ignore_cleanup_errors=True) as folder:
            sandbox = Sandbox.start(Path(folder).resolve())
            checks.append(Check(layer="namespaces", status="pass", message="The spawner has namespaces of its own."))
            checks += asyncio.run(_try(sandbox))
    except SandboxError as error:
        checks.append(Check(layer=_layer(error.code), status="fail", message=error.message, fix=error.hint))
    return checks


async def _try(sandbox: Sandbox) -> list[Check]:
    try:
        program = pin("true")
        plan = SandboxPlan(kind="command", tool="toolhost.probe", argv=(program.path,), cwd="/", programs=(program,))
        outcome = await sandbox.run(plan)
        if outcome.status != "exited" or outcome.exit_code != 0:
            said = f"`true` in a sandbox ended with {outcome.status}, {outcome.exit_code}: {outcome.stderr[:200]!a}."
            return [Check(layer="sandbox", status="fail", message=said)]
        checks = [Check(layer="sandbox", status="pass", message="A program runs in a sandbox."), _memory(outcome)]
        quick = [attack for attack in ATTACKS if attack.quick]
        return [*checks, *[_escape(result) async for result in attack_all(sandbox, quick)]]
    finally:
        await sandbox.close()


def _memory(outcome: Outcome) -> Check:
    mechanism = outcome.limits["memory"].enforced_by
    if mechanism.startswith("cgroup"):
        return Check(
            layer="memory limit", status="pass", message=f"The memory of a whole sandbox is limited by {mechanism}."
        )
    return Check(
        layer="memory limit",
        status="warn",
        message="The memory of a whole sandbox is limited by watching it, that of each process by the kernel.",
        fix="Delegate a control group to the host (systemd: Delegate=yes). Policies that `require` it refuse to run.",
    )


def _escape(result: Result) -> Check:
    layer = f"escape: {result.attack.what}"
    if result.contained:
        return Check(layer=layer, status="pass", message="The attempt failed, as it must.")
    return Check(
        layer=layer,
        status="fail",
        message=f"The attempt was not contained: {result.said!a}.",
        fix="Do not run tools here; `toolhost selfattack` shows more. Report it as SECURITY.md says.",
    )


def _layer(code: str) -> str:
    for start, layer in (("bubblewrap", "bubblewrap"), ("seccomp", "seccomp"), ("user_namespaces", "namespaces")):
        if code.startswith(start):
            return layer
    return "namespaces" if code == "namespaces_failed" else "sandbox"
