"""Trying a sandbox out: one that is made, runs a program that does nothing, and ends."""

from __future__ import annotations

import tempfile

from toolhost.sandbox.plan import Limits, SandboxPlan
from toolhost.sandbox.programs import pin
from toolhost.sandbox.roots import root
from toolhost.sandbox.sandbox import Sandbox

__all__ = ["try_out"]

_LIMITS = Limits(wall=5.0, cpu=2.0, memory=64 << 20, processes=8, scratch=1 << 20)


async def try_out(sandbox: Sandbox) -> str | None:
    """What is wrong with a sandbox, in a sentence; None where it works.

    Raises:
        SandboxError: It cannot be made.
    """
    program = pin("true")
    with tempfile.TemporaryDirectory(prefix="toolhost-trial-") as folder:
        plan = SandboxPlan(
            kind="command",
            tool="toolhost.trial",
            argv=(program.path,),
            cwd="/workspace",
            programs=(program,),
            roots=(root(folder, "/workspace", writable=False),),
            limits=_LIMITS,
        )
        outcome = await sandbox.run(plan)
    if outcome.status != "exited" or outcome.exit_code != 0:
        return f"A program that does nothing ended with {outcome.status}."
    return None
