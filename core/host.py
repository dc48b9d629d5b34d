"""The host: everything one running toolhost is made of, put together once.

The command line opens it for one call, the web serves it; both only ever see this.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolhost.approvals import Answer, Grant, Question
from toolhost.audit import AuditLog, AuditRecord, AuditTerms
from toolhost.audit.index import AuditIndex
from toolhost.calls.again import Again
from toolhost.calls.arguments import prepare as prepare_arguments
from toolhost.calls.asking import Asking
from toolhost.calls.connections import record_connection
from toolhost.calls.hooked import HookedCalls
from toolhost.calls.pipeline import OnEvent, Pipeline
from toolhost.calls.records import CallRecords
from toolhost.calls.restoring import restored
from toolhost.calls.taints import Taints
from toolhost.conversation_folders import ConversationFolders
from toolhost.data import DataDirectory
from toolhost.errors import UsageError
from toolhost.hooks import Hooks
from toolhost.house_rules import PolicyNews, objections
from toolhost.identifiers import new_id
from toolhost.model import Actor, Call, CallResult, Tool
from toolhost.panic import PanicSwitch
from toolhost.pluginhost import Idle, PluginLock, PluginRegistry
from toolhost.pluginhost.configuring import declared_settings
from toolhost.policy import Considered, PolicySet, PolicyStore, Request, check_workspace
from toolhost.rights import check
from toolhost.sandbox import Sandbox, SandboxError
from toolhost.settings import Settings
from toolhost.stopping import Stopping
from toolhost.storage import Database
from toolhost.storage.behind import WriteBehind

if TYPE_CHECKING:
    from toolhost.following import Follower

__all__ = ["Host"]


class Host:
    """One host. Made by `Host.open`.

    Attributes:
        settings: The settings in force.
        data: The data directory.
        policies: The policies in force.
        plugins: The plugins and their tools.
        sandbox: Runs plans; None where this machine cannot make a sandbox.
        database: State.
        audit: The audit log.
        hooks: The trusted extensions.
        audit_index: What can be asked of it.
        stopping: Stops everything, and lets it run again.
        inquiries: What running tools want to know from their persons.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        data: DataDirectory,
        policies: PolicyStore,
        plugins: PluginRegistry,
        sandbox: Sandbox | None,
        sandbox_problem: SandboxError | None,
        database: Database,
        audit: AuditLog,
        audit_index: AuditIndex,
        pipeline: Pipeline,
        asking: Asking,
        records: CallRecords,
        taints: Taints,
        stopping: Stopping,
        hooks: Hooks,
        hooked: HookedCalls,
    ) -> None:
        self.settings = settings
        self.data = data
        self.policies = policies
        self.plugins = plugins
        self.sandbox = sandbox
        self._sandbox_problem = sandbox_problem
        self.database = database
        self.audit = audit
        self.audit_index = audit_index
        self._pipeline = pipeline
        self.inquiries = pipeline.inquiries
        self._asking = asking
        self._follower: Follower | None = None
        self._listeners: list[Callable[[], None]] = []
        plugins.on_change = self._tools_changed
        self._records = records
        self.taints = taints
        self.stopping = stopping
        self.hooks = hooks
        self._hooked = hooked
        self._policy_news = PolicyNews(hooks, policies)
        self.folders = ConversationFolders(database, data, policies)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        sandbox: Sandbox | None,
        sandbox_problem: SandboxError | None = None,
        *,
        installed: Collection[str] | None = None,
    ) -> AsyncIterator[Host]:
        """Open the host over a prepared data directory.

        Args:
            settings: The settings.
            sandbox: Started before the event loop; closed here.
            sandbox_problem: Why there is none.
            installed: Of the installed plugins those that are loaded, by their entry points; None for all.

        Raises:
            MachineError: `data_not_writable`, `audit_unavailable`.
        """
        async with AsyncExitStack() as stack:
            if sandbox is not None:
                stack.push_async_callback(sandbox.close)
            hooks = Hooks.load(settings)
            data = DataDirectory(settings)
            data.prepare()
            database = await Database.open(data.state / "toolhost.db")
            stack.push_async_callback(database.close)
            behind = WriteBehind(database)
            stack.push_async_callback(behind.close)
            audit_index = AuditIndex(database, behind)

            def recorded(record: AuditRecord) -> None:
                audit_index.put(record)
                hooks.observe("track_event", event=record)

            audit = AuditLog(data.audit_log, recorded, AuditTerms.of(settings))
            stack.callback(audit.close)
            stack.push_async_callback(hooks.close)
            policies = PolicyStore(settings.policies, data=settings.data, plugins=settings.plugins)
            # From the manifests alone: what a server is asked for its tools by is granted by a policy.
            policies.declared = declared_settings(settings.plugins, installed)
            policies.objections = partial(objections, hooks)
            policies.load()
            lock = PluginLock(settings.policies, partial(audit.write, "security"))
            told = partial(record_connection, audit)
            idle = Idle(seconds=settings.worker_idle, memory=settings.worker_memory)
            plugins = PluginRegistry(settings.plugins, sandbox, lock, data.state, policies, told, installed, idle)
            stack.push_async_callback(plugins.close)
            await plugins.load()
            records = CallRecords(database, behind)
            asking = Asking(database, records=records, audit=audit, policies=policies)
            stack.push_async_callback(asking.close)
            await asking.start()
            taints = Taints(database)
            panic = PanicSwitch(data.state)
            pipeline = Pipeline(
                policies=policies,
                plugins=plugins,
                sandbox=sandbox,
                sandbox_problem=sandbox_problem,
                audit=audit,
                asking=asking,
                records=records,
                taints=taints,
                panic=panic,
                hooked=(hooked := HookedCalls(hooks)),
            )
            stack.push_async_callback(pipeline.end_calls)
            stopping = Stopping(panic, pipeline=pipeline, plugins=plugins, sandbox=sandbox, audit=audit)
            host = cls(
                settings=settings,
                data=data,
                policies=policies,
                plugins=plugins,
                sandbox=sandbox,
                sandbox_problem=sandbox_problem,
                database=database,
                audit=audit,
                audit_index=audit_index,
                pipeline=pipeline,
                asking=asking,
                records=records,
                taints=taints,
                stopping=stopping,
                hooks=hooks,
                hooked=hooked,
            )
            host._policy_news.tell()
            await hooks.start(host)
            stack.push_async_callback(hooks.stop, host)
            yield host

    # -- tools ---------------------------------------------------------------------------------------------------

    def tools_for(self, actor: Actor) -> list[Tool]:
        """The tools the actor may ask for: those of active plugins that a policy grants anything to this actor."""
        granted = [tool for tool in self.plugins.tools() if self._serves(tool.plugin, actor)]
        return list(self._hooked.offered(actor, granted))

    def tool(self, name: str) -> Tool:
        """A tool by name.

        Raises:
            UsageError: `unknown_tool`.
            AccessError: Where its plugin is quarantined, with the code of that.
        """
        tool = self.plugins.tool(name)
        if tool is None:
            self.plugins.check_in_service(name.partition(".")[0])
            near = difflib.get_close_matches(name, [tool.name for tool in self.plugins.tools()], n=1)
            raise UsageError(
                "unknown_tool",
                f"There is no tool {name!r}.",
                f"Did you mean {near[0]}?" if near else "`toolhost tools` lists them.",
            )
        return tool

    def check_in_service(self, name: str, actor: Actor) -> None:
        """Check that a tool's plugin is not out of service, for an actor who could use it otherwise.

        Raises:
            AccessError: With the code of its quarantine.
        """
        plugin = name.partition(".")[0]
        if self._serves(plugin, actor):
            self.plugins.check_in_service(plugin)

    def _serves(self, plugin: str, actor: Actor) -> bool:
        policy = self.policies.current.policy(plugin)
        return policy is not None and policy.serves(actor)

    # -- calls ---------------------------------------------------------------------------------------------------

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        actor: Actor,
        *,
        workspace: Path | None = None,
        workspace_writable: bool = True,
        conversation_id: str | None = None,
        approve: bool = False,
        call_id: str | None = None,
        attended: bool = True,
        on_event: OnEvent | None = None,
    ) -> CallResult:
        """Make a call.

        Args:
            name: `plugin.tool`.
            arguments: JSON values.
            actor: Who asks.
            workspace: An existing host folder; None takes the conversation's, or the actor's own.
            workspace_writable: Whether that folder may be written.
            conversation_id: One of the actor's own conversations.
            approve: Answer an `ask` with yes (the local administrator's flag).
            call_id: `new_id("c")`, where the caller must know it beforehand.
            attended: Whether somebody is there who can answer while it runs, for what its worker asks the host for.
            on_event: Told what happens as it happens.

        Raises:
            UsageError: `unknown_tool`, `invalid_arguments`, `conversation_not_found`, `workspace_not_allowed`,
                `workspace_not_accessible`, ... : nothing was decided yet.
            AccessError: `role_not_allowed`, `scope_missing`: the actor may run no tools, or not this plugin's.
            MachineError: `audit_unavailable`.
        """
        call = await self.prepare(
            name,
            arguments,
            actor,
            workspace=workspace,
            workspace_writable=workspace_writable,
            conversation_id=conversation_id,
            call_id=call_id,
            attended=attended,
        )
        return await self.carry_out(call, approve=approve, on_event=on_event)

    async def carry_out(self, call: Call, *, approve: bool = False, on_event: OnEvent | None = None) -> CallResult:
        """Carry out a call that was prepared. See `call`."""
        more = {} if on_event is None else {"on_event": on_event}
        return await self._pipeline.call(call, approve=approve, **more)

    async def prepare(
        self,
        name: str,
        arguments: Mapping[str, Any],
        actor: Actor,
        *,
        workspace: Path | None = None,
        workspace_writable: bool = True,
        conversation_id: str | None = None,
        call_id: str | None = None,
        attended: bool = True,
    ) -> Call:
        """Check a request and make a call of it, without deciding or running anything. See `call`."""
        tool = self.tool(name)
        check(actor, "tools:run", tool.plugin)
        await self.permitted(actor, "tools:run", tool.name)
        if not self._hooked.offered(actor, (tool,)):
            raise UsageError("unknown_tool", f"There is no tool {name!r}.", "`toolhost tools` lists them.")
        prepared = await self._hooked.prepared(tool, actor, arguments)
        checked = prepare_arguments(tool, prepared)
        own = False
        if workspace is not None:
            check_workspace(workspace, self.policies.current)
        elif conversation_id is not None:
            workspace, workspace_writable = await self.folders.find(conversation_id, actor)
            own = self.folders.is_own(workspace, conversation_id)
        else:
            workspace = self.data.own_workspace(actor.user_id)
        return Call(
            id=call_id or new_id("c"),
            tool=tool,
            arguments=checked,
            actor=actor,
            workspace=str(workspace),
            workspace_writable=workspace_writable,
            workspace_own=own,
            conversation_id=conversation_id,
            attended=attended and actor.attended,
            asked=None if prepared is arguments else arguments,
        )

    def consider(self, call: Call) -> tuple[Considered, Request]:
        """What would be decided and run, and what was asked; nothing happens. The call itself goes the same way."""
        request = self._pipeline.request(call)
        return self._pipeline.consider(request), request

    async def answer(
        self, approval_id: str, actor: Actor, answer: Answer, *, on_event: OnEvent | None = None
    ) -> CallResult:
        """Answer one of the actor's open questions; on a yes, its call runs and this is its result.

        Raises:
            ApprovalError: `approval_not_found`, `approval_answered`, `approval_expired`, `plan_changed`.
            AccessError: `approval_not_yours`, `approval_needs_a_person`.
            UsageError: `scope_not_offered`.
        """
        more = {} if on_event is None else {"on_event": on_event}
        restore = partial(restored, self.plugins.tool)
        return await self._pipeline.answer(approval_id, actor, answer, restore=restore, **more)

    async def question(self, approval_id: str, actor: Actor) -> Question:
        """One of the actor's questions, open or settled; for an administrator, anybody's.

        Raises:
            ApprovalError: `approval_not_found`.
        """
        return await self._asking.question(approval_id, actor)

    async def until_settled(self, approval_id: str, actor: Actor) -> CallResult | None:
        """Wait until a question is answered, by whatever way, or its time is over; None for a yes."""
        return await self._asking.until_settled(approval_id, actor)

    async def pending_approvals(self, actor: Actor) -> list[Question]:
        """The actor's open questions, the oldest first."""
        return await self._asking.pending(actor)

    async def pending_approvals_of_all(self) -> list[Question]:
        """Everybody's open questions, the oldest first: for administrators."""
        return await self._asking.pending_of_all()

    async def grants(self, actor: Actor) -> list[Grant]:
        """The actor's grants that still hold, the newest first."""
        return await self._asking.grants(actor)

    async def revoke_grant(self, grant_id: str, actor: Actor) -> None:
        """End one of the actor's grants.

        Raises:
            ApprovalError: `grant_not_found`.
        """
        await self._asking.revoke(grant_id, actor)

    def awaits(self, call_id: str) -> bool:
        """Whether a call waits for its answer where it is: it is an errand of a call that runs."""
        return self._pipeline.awaits(call_id)

    def cancel(self, call_id: str, actor: Actor) -> bool:
        """End one of the actor's running calls; False where there is none."""
        return self._pipeline.cancel(call_id, actor)

    async def call_record(self, call_id: str, actor: Actor) -> dict[str, Any] | None:
        """One of the actor's calls as it is stored, or None."""
        return await self._records.get(call_id, actor)

    async def call_records(self, call_ids: Sequence[str], actor: Actor) -> dict[str, dict[str, Any]]:
        """Several of the actor's calls as they are stored, by id."""
        return await self._records.several(call_ids, actor)

    async def flush(self) -> None:
        """Wait until every call recorded so far can be read."""
        await self._records.flush()

    async def any_call(self, call_id: str) -> Mapping[str, Any] | None:
        """Anybody's call as it is stored, or None: for the local administrator."""
        return await self._records.any_row(call_id)

    def recorded_calls(self, since: int) -> AsyncIterator[Mapping[str, Any]]:
        """Everybody's calls since a moment (milliseconds), oldest first, without what came out of them."""
        return self._records.since(since)

    def unsuccessful_calls(self, tool: str, since: int) -> AsyncIterator[Mapping[str, Any]]:
        """Everybody's calls of a tool since a moment (milliseconds) that were denied or failed, oldest first."""
        return self._records.unsuccessful(tool, since)

    async def plugin_faults(self, since: int) -> dict[str, dict[str, Any]]:
        """By plugin, its own failures since a moment (milliseconds): `count`, and of the last `tool`, `code`, `at`."""
        return await self._records.faults(since)

    def again(self, policies: PolicySet | None = None) -> Again:
        """Considers recorded calls under some policies; by default those in force."""
        return Again(
            plugins=self.plugins,
            policies=policies or self.policies.current,
            request=self._pipeline.request,
            private=self.data.workspaces,
        )

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Keep the policies in force what their files say, in the meantime: for a host that serves."""
        # Imported here: watching takes a library that a single call has no use for.
        from toolhost.following import Follower
        from toolhost.watching import Watch

        self._follower = Follower(
            self.policies,
            plugins=self.plugins,
            sandbox=self.sandbox,
            audit=self.audit,
            state=self.data.state,
            on_change=self._policies_changed,
        )
        async with self._follower.following(), Watch(self, self._pipeline).watching():
            yield

    def on_tools_changed(self, listener: Callable[[], None]) -> None:
        """Have somebody told whenever other tools may be called than before: a policy or a plugin has changed."""
        self._listeners.append(listener)

    def _tools_changed(self) -> None:
        for listener in self._listeners:
            listener()

    def on_waiting_changed(self, listener: Callable[[str], None]) -> None:
        """Have somebody told for whom (a user's id) something else waits than before."""
        self._asking.on_change(listener)
        self.inquiries.on_change = listener

    async def permitted(self, actor: Actor, action: str, resource: str) -> None:
        """Refuse what an extension does not let somebody do, although their role and scopes do.

        Raises:
            AccessError: With the extension's code.
        """
        await self._hooked.permitted(actor, action, resource)

    async def _policies_changed(self) -> None:
        self._policy_news.tell()
        await self._asking.sweep()
        self._tools_changed()

    @property
    def followed(self) -> bool | None:
        """Whether changes of the policies are noticed; None in a host that does not serve."""
        return None if self._follower is None else not self._follower.failing

    @property
    def sandbox_problem(self) -> SandboxError | None:
        """Why there is no sandbox, or none any more."""
        return self._sandbox_problem if self.sandbox is None else self.sandbox.problem

    def health(self) -> Literal["ok", "degraded"]:
        """`degraded` where tools cannot run, or changes of the policies are not noticed."""
        idle = self.sandbox is None or self.sandbox.problem or self.stopping.stopped or self.audit.failing
        return "degraded" if idle or self.followed is False else "ok"

    async def conversation_workspace(self, conversation_id: str, actor: Actor) -> tuple[Path, bool]:
        """The folder of one of the actor's conversations, and whether it is the conversation's own.

        Raises:
            UsageError: `conversation_not_found`, `workspace_not_allowed`.
        """
        folder, _ = await self.folders.find(conversation_id, actor)
        return folder, self.folders.is_own(folder, conversation_id)
