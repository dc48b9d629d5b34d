"""The sandbox: a plan goes in, an outcome comes out. The only door to running anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from toolhost.sandbox import bubblewrap, seccomp, spawner
from toolhost.sandbox.armed import Armed
from toolhost.sandbox.arming import Arming, Begun
from toolhost.sandbox.cgroups import Cgroups
from toolhost.sandbox.channel import Channel
from toolhost.sandbox.check import check_plan
from toolhost.sandbox.diagnosis import namespace_refusal
from toolhost.sandbox.egress import OnConnection, serving
from toolhost.sandbox.errors import PlanRefused, SandboxError, SandboxUnavailable
from toolhost.sandbox.execution import Execution, OnOutput, Run, reports
from toolhost.sandbox.kits import Kits
from toolhost.sandbox.leftovers import Leftovers
from toolhost.sandbox.mounted import host_table
from toolhost.sandbox.outcome import LimitReport, Outcome
from toolhost.sandbox.plan import NO_SECRETS, SandboxPlan
from toolhost.sandbox.pool import Armament, Pool
from toolhost.sandbox.quarantine import Quarantine
from toolhost.sandbox.reservation import Reservation
from toolhost.sandbox.resolver import Resolver
from toolhost.sandbox.script import call_script
from toolhost.sandbox.sessions import Sessions
from toolhost.sandbox.shape import Shape, place
from toolhost.sandbox.spares import sweep_spares
from toolhost.sandbox.tool_root import ToolRoots
from toolhost.sandbox.uninterrupted import to_the_end

__all__ = ["Sandbox"]

BeforeStart = Callable[[], None]

_START = 10.0


class Sandbox:
    """Makes and runs sandboxes. One per process; `start` it before any event loop or thread."""

    def __init__(
        self,
        channel: Channel,
        tool_roots: ToolRoots,
        launcher: int,
        cgroups: Cgroups,
        leftovers: Leftovers,
        armament: Armament,
    ) -> None:
        self._channel = channel
        self._cgroups = cgroups
        self._tool_roots = tool_roots
        self._leftovers = leftovers
        self._launcher = launcher
        self._resolver = Resolver()
        self._arming = Arming(channel, Kits(cgroups), tool_roots, launcher)
        self._pool = Pool(self._arming.arm, self._arming.retire, armament)
        self._sessions = Sessions(self._arming.retire)
        self._making: dict[str, asyncio.Lock] = {}

    @classmethod
    def start(cls, state: Path, *, armament: Armament | None = None) -> Sandbox:
        """Check the machine and fork the spawner.

        Args:
            state: The host's state folder; the tool roots are kept in it.
            armament: How many sandboxes are kept armed.

        Raises:
            SandboxUnavailable: No sandbox can be made here; the hint is the exact fix.
        """
        if os.geteuid() == 0 or os.getuid() == 0:
            raise SandboxUnavailable(
                "runs_as_root",
                "The sandbox refuses to run as root: a flaw in it would be root's.",
                "Start it as the service user (`scripts/run` creates `toolhost` and switches to it).",
            )
        bwrap = bubblewrap.find_bubblewrap()
        seccomp.filter_bytes(network=False)
        host_table()
        tool_roots = ToolRoots(str(state.absolute()))
        launcher = tool_roots.prepare_folder()
        leftovers = Leftovers(str(state.absolute()))
        leftovers.sweep()
        spares = str(state.absolute() / "spares")
        sweep_spares(spares)
        cgroups = Cgroups.find()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            spawner.serve(theirs, bwrap, str(state.absolute()), tool_roots.folder, spares)
        theirs.close()
        try:
            ours.settimeout(_START)
            said: dict[str, Any] = json.loads(ours.recv(1 << 16) or b"{}")
        except OSError:
            said = {}
        if "up" not in said:
            ours.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(launcher)
            raise namespace_refusal(said.get("fatal", "the spawner ended at once"))
        return cls(Channel(ours, pid), tool_roots, launcher, cgroups, leftovers, armament or Armament())

    def reserve(self, plan: SandboxPlan) -> Reservation:
        """Take what the pool has for a plan that is about to run, while its intent is still to be recorded.

        Where the plan cannot be carried out nothing is reserved, and `run` says why.
        """
        if plan.kind == "command" and not plan.secrets and plan.isolation != "conversation":
            try:
                _script(plan)
                if (shape := self._known_shape(plan)) is not None:
                    return Reservation(self._arming, shape, self._pool.take(shape) or self._arming.begin(shape))
            except SandboxError:
                return Reservation(self._arming)
        return Reservation(self._arming)

    async def run(
        self,
        plan: SandboxPlan,
        reservation: Reservation | None = None,
        *,
        stdin: bytes = b"",
        secrets: Mapping[str, bytes] = NO_SECRETS,
        on_output: OnOutput | None = None,
        on_connection: OnConnection | None = None,
        before_start: BeforeStart | None = None,
    ) -> Outcome:
        """Carry out a plan of kind `command`.

        Args:
            plan: What to run.
            reservation: What was reserved for it.
            stdin: What the process reads on standard input.
            secrets: What each secret of the plan holds.
            on_output: Called with each piece of output as it comes.
            on_connection: Called with each connection of a plan with a network when it has ended, at the latest before
                this returns. What it raises ends the plan's network, and is raised here in the end.
            before_start: Called when all waiting is over; what it raises is raised here, and nothing has run.

        Raises:
            PlanRefused: The plan names something that is not what it says.
            SandboxUnavailable: No sandbox could be made.
            asyncio.CancelledError: After every process of the call is gone.
        """
        began = time.monotonic()
        call = self._pool.begin()
        try:
            # A sandbox that is kept has no standard input to give; its network and secrets would be another call's.
            if plan.isolation == "conversation" and plan.conversation and not (stdin or plan.network or plan.secrets):
                outcome = await self._in_conversation(plan, call, began, on_output, before_start)
                self._pool.end(call)
                return outcome
            script = _script(plan)
            armed, was_armed = await self._ready(plan, secrets, reservation)
            try:
                async with serving(armed.take_listener(), plan.network, on_connection, self._resolver):
                    run = Run(plan, armed, began, stdin, on_output, was_armed=was_armed)
                    outcome = await self._carried_out(run, script, call, before_start)
            except BaseException:
                await self._arming.discard(armed)
                raise
        except BaseException:
            self._pool.end(call)
            raise
        # Behind the result: nobody has to wait for it.
        asyncio.get_running_loop().call_soon(self._used, call, armed)
        return outcome

    async def _in_conversation(
        self, plan: SandboxPlan, call: int, began: float, on_output: OnOutput | None, before_start: BeforeStart | None
    ) -> Outcome:
        script = _script(plan, again=True)
        shape = await self._shape(plan)
        async with self._sessions.turn(plan.conversation, shape) as seat:
            # Not the seat's until its call is over: whatever goes wrong before then, the next call gets another one.
            armed, seat.armed = seat.armed, None
            was_armed = armed is not None
            if armed is None:
                armed = await self._uncancelled(self._made(shape, again=True))
            elif shape.covers:
                armed = await self._uncancelled(self._covered(armed, shape))
            try:
                armed.group.begin()
                run = Run(plan, armed, began, None, on_output, was_armed=was_armed)
                outcome = await self._carried_out(run, script, call, before_start)
            except BaseException:
                await self._arming.discard(armed)
                raise
            if armed.alive and outcome.status in ("exited", "signaled"):
                seat.armed = armed
                self._sessions.stand_again(seat)
            else:
                self._arming.retire(armed)
        return outcome

    async def _carried_out(self, run: Run, script: bytes, call: int, before_start: BeforeStart | None) -> Outcome:
        try:
            await run.prepare()
            if before_start is not None:
                before_start()
            run.fire(script)
            self._pool.runs(call)
            return await run.wait()
        finally:
            run.close()

    async def launch(
        self,
        plan: SandboxPlan,
        secrets: Mapping[str, bytes] = NO_SECRETS,
        on_connection: OnConnection | None = None,
    ) -> Execution:
        """Start a plan of kind `worker` and leave it running.

        Args:
            plan: What to start.
            secrets: What each secret of the plan holds.
            on_connection: As for `run`; what is counted of the network is counted over the whole life of the process.

        Raises:
            PlanRefused: The plan names something that is not what it says.
            SandboxUnavailable: No sandbox could be made.
        """
        began = time.monotonic()
        script = _script(plan)
        armed, _ = await self._ready(plan, secrets)
        network = contextlib.AsyncExitStack()
        try:
            carrying = serving(armed.take_listener(), plan.network, on_connection, self._resolver)
            await network.enter_async_context(carrying)
            execution = Execution(plan, armed, began, network, was_armed=False)
            await execution.prepare()
            with contextlib.ExitStack() as failed:
                failed.callback(execution.close)
                await execution.open()
                armed.fire(script)
                failed.pop_all()
        except BaseException:
            with contextlib.suppress(Exception):
                await network.aclose()
            await self._arming.discard(armed)
            raise
        armed.on_dead(lambda: self._arming.ended(armed))
        return execution

    def enforcement(self, plan: SandboxPlan) -> Mapping[str, LimitReport]:
        """Every limit of a plan and what will enforce it here; nothing runs."""
        return reports(plan.limits, self._cgroups.holds, worker=plan.kind == "worker")

    async def close(self) -> None:
        """Kill everything and end the spawner. Nothing can be run afterwards."""
        await self._pool.close()
        await self._sessions.close()
        await self._arming.close()
        self._leftovers.close(clean=await self._channel.close())
        self._tool_roots.close()
        if self._launcher >= 0:
            os.close(self._launcher)
            self._launcher = -1

    @property
    def armed(self) -> int:
        """How many sandboxes stand and wait for a call."""
        return self._pool.standing

    @property
    def problem(self) -> SandboxUnavailable | None:
        """Why nothing can be run any more; None where calls can."""
        self._channel.attach()  # otherwise nobody has listened to the spawner before the first call
        return self._channel.problem

    def disarm(self) -> None:
        """Let go of every armed sandbox, such as after the policies were read again."""
        self._pool.drop()
        self._sessions.drop()

    async def settled(self) -> int:
        """Wait until what is made ahead is made: as many sandboxes as are wanted. Says how many those are."""
        standing = await self._pool.settled()
        self._arming.make_ahead()
        return standing

    async def _ready(
        self, plan: SandboxPlan, secrets: Mapping[str, bytes], reservation: Reservation | None = None
    ) -> tuple[Armed, bool]:
        """A sandbox for a plan, in which everything but the call itself is done, and whether it was armed before."""
        if secrets.keys() != set(plan.secrets):
            raise PlanRefused("secret_unavailable", "The secrets of the plan are not those that came with it.")
        begun = armed = None
        if reservation is not None and reservation.shape is not None:
            shape, (armed, begun) = reservation.shape, reservation.claim()
        else:
            shape = await self._shape(plan)
            # A secret is there for its call alone, so no sandbox with one stands before the call or is kept after it.
            armed = self._pool.take(shape) if plan.kind == "command" and not plan.secrets else None
        # A bubblewrap must not lose its pipes while it sets up (it would die and leave its child hanging), so a call
        # that is cancelled meanwhile waits for these few milliseconds and destroys what then stands.
        if armed is None:
            return await self._uncancelled(self._made(shape, begun, secrets=secrets)), False
        if shape.covers:
            armed = await self._uncancelled(self._covered(armed, shape))
        return armed, True

    def _known_shape(self, plan: SandboxPlan) -> Shape | None:
        """The shape of a plan whose tool root is made."""
        places = place(plan)
        tool_root = self._tool_roots.known(plan, places.points)
        return None if tool_root is None else Shape.of(plan, tool_root, places)

    async def _shape(self, plan: SandboxPlan) -> Shape:
        if (shape := self._known_shape(plan)) is not None:
            return shape
        # One at a time: two calls of the same plan would copy the same files.
        async with self._making.setdefault(plan.tool, asyncio.Lock()):
            if (shape := self._known_shape(plan)) is None:
                places = place(plan)
                shape = Shape.of(plan, await asyncio.to_thread(self._tool_roots.make, plan, places.points), places)
        return shape

    async def _uncancelled(self, making: Coroutine[Any, Any, Armed]) -> Armed:
        """The sandbox that something makes; if this task is cancelled meanwhile it is destroyed when it stands."""
        task = asyncio.ensure_future(making)
        if await to_the_end(task):
            if not task.exception():
                await self._arming.discard(task.result())
            raise asyncio.CancelledError
        return task.result()

    async def _made(
        self,
        shape: Shape,
        begun: Begun | None = None,
        *,
        again: bool = False,
        secrets: Mapping[str, bytes] = NO_SECRETS,
    ) -> Armed:
        making = self._arming.arm(shape, again=again, secrets=secrets) if begun is None else self._arming.stand(begun)
        return await self._covered(await making, shape)

    async def _covered(self, armed: Armed, shape: Shape) -> Armed:
        try:
            if shape.covers:
                self._leftovers.note(shape.places.roots)
            if any(root["hidden_globs"] for root in shape.places.roots):
                await armed.hide(Quarantine(folder=self._tool_roots.quarantine, roots=shape.places.roots))
            else:
                await armed.cover(shape.places.roots)
        except BaseException:
            await self._arming.discard(armed)
            raise
        return armed

    def _used(self, call: int, armed: Armed) -> None:
        self._pool.end(call)
        self._arming.retire(armed)


def _script(plan: SandboxPlan, *, again: bool = False) -> bytes:
    return plan.derived("script again" if again else "script", lambda plan: _checked_script(plan, again=again))


def _checked_script(plan: SandboxPlan, *, again: bool) -> bytes:
    check_plan(plan)
    env = {"HOME": "/tmp", "PATH": "/usr/bin:/bin"} | dict(plan.env)  # noqa: S108
    return call_script(plan.argv, plan.cwd, env.items(), plan.limits, again=again)
