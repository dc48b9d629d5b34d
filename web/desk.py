"""Where a turn of the agent happens: its words and calls become events and entries of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolhost.agent.asking import Said
from toolhost.agent.faults import ModelError
from toolhost.agent.models import Chosen
from toolhost.agent.naming import named
from toolhost.agent.store import dump
from toolhost.agent.telling import Told
from toolhost.agent.turn import Pending, Usage
from toolhost.calls.arguments import prepare
from toolhost.errors import ToolHostError
from toolhost.host import Host
from toolhost.model import CallResult, Decision, Tool
from toolhost.web.live import Run
from toolhost.web.runs import Runs

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["Desk"]


class Desk:
    """The surface of one turn; see `toolhost.agent.turn.Surface`."""

    def __init__(self, host: Host, runs: Runs, run: Run, chosen: Chosen, *, told_of_trimming: bool) -> None:
        self._host = host
        self._runs = runs
        self._run = run
        self._chosen = chosen
        self._told_of_trimming = told_of_trimming
        self._said = ""

    # What the model says

    def begin_message(self, message_id: str) -> None:
        self._run.begin_message(message_id, self._chosen.model.name)

    def add_text(self, message_id: str, text: str) -> None:
        self._run.add_text(message_id, text)

    def add_thought(self, message_id: str, text: str) -> None:
        self._run.add_thought(message_id, text)

    def request_tool(self, message_id: str, request_id: str, name: str) -> None:
        tool = named(self.tools()).get(name)
        self._run.emit(
            "tool.requested",
            request_id=request_id,
            message_id=message_id,
            tool=name[:200] if tool is None else tool.name,
        )

    def add_arguments(self, request_id: str, text: str) -> None:
        self._run.add_arguments(request_id, text)

    def retry(self, attempt: int, after: float, error: ModelError) -> None:
        self._run.emit("model.retry", attempt=attempt, after_ms=int(after * 1000), error=error.as_json())

    async def say(self, said: Said, *, stopped: str | None) -> None:
        entry, self._said = None, said.text.strip()
        if said.text.strip():
            profile = self._chosen.profile
            data = {
                "model": self._chosen.model.name,
                "profile": None if profile is None else profile.name,
                "stopped": stopped,
            }
            entry = await self._runs.calling.entry(self._run, "assistant", text=said.text, data=data)
        self._run.end_message(said.message_id, entry)

    # What it does

    def tools(self) -> Sequence[Tool]:
        return self._host.tools_for(self._run.actor)

    async def call(self, tool: Tool, arguments: Mapping[str, Any], call_id: str, request_id: str) -> CallResult:
        prepared = prepare(tool, arguments)  # what is no call leaves no trace in the conversation
        call = self._runs.calling.live(self._run, call_id, tool.name, prepared)
        call.request_id, call.explanation = request_id, self._said
        try:
            return await self._runs.calling.carry_out(self._run, call, arguments)
        except ToolHostError as error:
            self._run.fail(call, error.as_json())
            raise

    async def call_again(self, call_id: str) -> CallResult:
        try:
            result = await self._runs.calling.pick_up(self._run, call_id)
        except ToolHostError as error:
            return _without_result(call_id, error)
        lost = ToolHostError(
            "call_interrupted",
            "The host stopped while this call was under way; what it had done by then is not known.",
            "Look before you do it again.",
        )
        return result or _without_result(call_id, lost)

    def changed(self, call_id: str) -> Mapping[str, Any] | None:
        for event in self._run.events:
            if event["type"] == "approval.answered" and event.get("instead") == call_id:
                arguments: Mapping[str, Any] = event["arguments"]
                return arguments
        return None

    def reject(self, tool: str, request_id: str, error: Mapping[str, Any]) -> None:
        if error["code"] == "tool_not_in_profile":
            profile = self._chosen.profile
            self._host.audit.write(
                "security",
                "tool.outside_profile",
                {
                    "tool": tool,
                    "profile": None if profile is None else profile.name,
                    "conversation_id": self._run.conversation_id,
                },
                actor=self._run.actor,
                level="WARNING",
            )
        self._run.emit("tool.rejected", request_id=request_id, tool=tool, error=dict(error))

    def shorten(self, call_id: str, told: Told) -> None:
        whole = f"/api/calls/{call_id}/output"
        self._run.emit("tool.shortened", call_id=call_id, shown=told.shown, total=told.total, url=whole)

    async def trim(self, outputs: int, messages: int) -> None:
        self._run.emit("context.trimmed", outputs=outputs, messages=messages)
        if not self._told_of_trimming:
            self._told_of_trimming = True
            await self._runs.calling.entry(self._run, "notice", text="context_trimmed")

    # What is kept of it

    def use(self, usage: Usage) -> None:
        self._run.emit("run.usage", **usage.as_json())

    async def save(self, messages: Sequence[ModelMessage], pending: Pending, usage: Usage) -> None:
        # A program's run does not go on after a restart: what its key allowed is not known then.
        kept = pending if self._run.actor.attended else {}
        await self._runs.records.save(self._run.id, "running", dump(messages), kept, usage.as_json())


def _without_result(call_id: str, error: ToolHostError) -> CallResult:
    return CallResult(
        call_id=call_id,
        tool="",
        status="error",
        error=error.as_json(),
        decision=Decision(outcome="deny", code=error.code, reason=error.message),
    )
