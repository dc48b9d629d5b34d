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
from toolhost.sandbox.destinations import PROXY
from toolhost.sandbox.diagnosis import ASK_DOCTOR
from toolhost.sandbox.errors import SandboxError
from toolhost.sandbox.outcome import Outcome
from toolhost.sandbox.plan import SandboxPlan
from toolhost.sandbox.programs import pin
from toolhost.sandbox.sandbox import Sandbox
from toolhost.sandbox.selfattack import Result, attack_all

__all__ = ["Check", "probe"]

_ASK_FOR_ANOTHER = f"""
exec 3<>/dev/tcp/{PROXY[0]}/{PROXY[1]} && printf 'CONNECT 127.0.0.1:22 HTTP/1.1\\r\\nHost: 127.0.0.1:22\\r\\n\\r\\n' >&3
read -r -t 10 _ status _ <&3; echo "$status"
for port in 22 80 8001; do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && echo "port $port"; done
(exec 3<>/dev/tcp/192.0.2.1/443) 2>/dev/null && echo "a route"
echo end
"""
"""192.0.2.1 is for documentation (RFC 5737): where there is no route it fails at once, and nobody is there."""


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


def probe(place: Path | None = None) -> list[Check]:
    """Try every layer. Starts processes and makes a temporary folder; call it before any event loop or thread.

    Args:
        place: Where that folder is made: what the file system there allows is tried with it.
    """
    checks: list[Check] = []
    try:
        path = bubblewrap.find_bubblewrap()
        checks.append(Check(layer="bubblewrap", status="pass", message=f"{path} can be used."))
        size = len(seccomp.filter_bytes(network=False)) // 8
        checks.append(Check(layer="seccomp", status="pass", message=f"The filter has {size} instructions."))
        with tempfile.TemporaryDirectory(prefix="toolhost-probe-", dir=place, ignore_cleanup_errors=True) as folder:
            sandbox = Sandbox.start(Path(folder).resolve())
            checks.append(Check(layer="namespaces", status="pass", message="The spawner has namespaces of its own."))
            checks += asyncio.run(_try(sandbox))
    except SandboxError as error:
        fix = error.hint if error.hint != ASK_DOCTOR else ""  # it is the doctor who asks
        checks.append(Check(layer=_layer(error.code), status="fail", message=error.message, fix=fix))
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
        checks.append(await _egress(sandbox))
        quick = [attack for attack in ATTACKS if attack.quick]
        return [*checks, *[_escape(result) async for result in attack_all(sandbox, quick)]]
    finally:
        await sandbox.close()


async def _egress(sandbox: Sandbox) -> Check:
    """A call that may reach one host asks its proxy for another, and looks for a way around it."""
    shell = pin("bash")
    plan = SandboxPlan(
        kind="command",
        tool="toolhost.probe",
        argv=(shell.path, "-c", _ASK_FOR_ANOTHER),
        cwd="/",
        programs=(shell,),
        network=("toolhost.invalid:443",),
    )
    recorded: list[str] = []
    outcome = await sandbox.run(plan, on_connection=lambda connection: recorded.append(connection.code))
    said = outcome.stdout.decode("utf-8", "backslashreplace").split()
    if said == ["403", "end"] and len(recorded) == 1:
        message = (
            "A sandbox with a network reaches its proxy and nothing else, and the proxy refuses what no rule names."
        )
        return Check(layer="network access", status="pass", message=message)
    return Check(
        layer="network access",
        status="fail",
        message=f"A sandbox with a network did not behave: {outcome.status}, {said!a}, {outcome.stderr[:200]!a}.",
        fix="Grant no network here (`[network] allow`) until it does; `toolhost selfattack` shows more.",
    )


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
