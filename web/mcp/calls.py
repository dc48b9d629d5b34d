"""`tools/call`: one call through the host, and the person it may have to wait for.

An answer runs the call, wherever it is given, and its result is kept under the call's id; the client's second request
finds it there. So nothing that a client sends back can make anything run: it names a question, and gets what became of
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
    UrlElicitationCapability,
)

from toolhost.approvals import Answer, Question
from toolhost.calls.arguments import canonical
from toolhost.errors import AccessError, ApprovalError, ToolHostError
from toolhost.host import Host
from toolhost.identifiers import new_id
from toolhost.model import Actor, CallResult
from toolhost.web.mcp.asked import Asked
from toolhost.web.mcp.progress import telling
from toolhost.web.mcp.results import refused, result_of, waiting
from toolhost.web.mcp.visit import VISIT, Visit
from toolhost.web.refusals import record_refusal
from toolhost.web.runs import Runs

__all__ = ["Calls", "Context", "visit_of"]

Context = ServerRequestContext[Any, Any]

_PATIENCE_SECONDS = 45.0  # below what clients give one request
_AGAIN = "Make the same call again, with the same arguments: it gives the result once there is one."
_LEFT_SECONDS = 1.5  # for a call when the server stops: less than its connections have
_INPUT = "approval"
_BY_ADDRESS = ClientCapabilities(elicitation=ElicitationCapability(url=UrlElicitationCapability()))


def visit_of(ctx: Context) -> Visit:
    """Whose request this is. It was let in by the guard, and by nothing here."""
    visit: Visit = ctx.request.scope[VISIT]  # type: ignore[union-attr]
    return visit


class Calls:
    """Makes the calls of one application.

    Args:
        host: The host.
        runs: Who answers questions.
        closing: Set when the server stops.
    """

    def __init__(self, host: Host, runs: Runs, closing: asyncio.Event) -> None:
        self._host = host
        self._runs = runs
        self._closing = closing
        self._asked = Asked()

    async def call(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        """Make a call, or go on with one that waited for a person.

        Raises:
            MCPError: -32602 for a tool that is not there for this person, and for a state that is not theirs.
        """
        visit = visit_of(ctx)
        assert visit.counted, "a call that was not counted"
        try:
            return await visit.own(self._call(ctx, visit, params))
        except ToolHostError as error:
            if isinstance(error, AccessError):
                record_refusal(error, visit.actor, "/mcp")
            if error.code == "unknown_tool":
                raise MCPError(INVALID_PARAMS, f"{error.message} `tools/list` has what you can call.") from None
            return refused(error)

    async def _call(
        self, ctx: Context, visit: Visit, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        actor, arguments = visit.actor, params.arguments or {}
        tool = self._runs.granted(actor, params.name)
        known = params.request_state or self._asked.find(actor, tool.name, arguments)
        if known is not None:
            question = await self._question(visit, params, known)
            if question is not None:
                return await self._go_on(ctx, visit, params, question)
        result = await self._run(ctx, visit, tool.name, arguments)
        if result.status == "approval_required" and result.approval_id is not None:
            return self._ask(ctx, visit, await self._asked_once(actor, arguments, result, result.approval_id))
        return await result_of(self._host, actor, result, visit.origin)

    async def _run(self, ctx: Context, visit: Visit, name: str, arguments: Mapping[str, Any]) -> CallResult:
        call_id = new_id("c")
        ending = asyncio.create_task(self._end_with_the_server(call_id, visit))
        try:
            if (ctx.meta or {}).get("progress_token") is None:
                return await self._host.call(name, arguments, visit.actor, call_id=call_id)
            async with telling(ctx.session.report_progress, _address(visit)) as hear:
                return await self._host.call(name, arguments, visit.actor, call_id=call_id, on_event=hear)
        finally:
            ending.cancel()

    async def _end_with_the_server(self, call_id: str, visit: Visit) -> None:
        """End a call while the server can still say that it was ended."""
        await self._closing.wait()
        await asyncio.sleep(_LEFT_SECONDS)
        self._host.cancel(call_id, visit.actor)

    # Waiting for a person

    async def _asked_once(
        self, actor: Actor, arguments: Mapping[str, Any], result: CallResult, approval_id: str
    ) -> CallResult:
        """What came of a call that asks; where its like came together with it, of the one that asked first.

        A call made again is known by its arguments alone: of two questions it would find one and lose the other's call.
        """
        known, first = self._asked.find(actor, result.tool, arguments), None
        if known is not None:
            with suppress(ApprovalError):
                first = await self._host.question(known, actor)
        if first is None or not first.open:
            self._asked.put(actor, result.tool, arguments, approval_id)
            return result
        with suppress(ApprovalError):  # it was answered in this very moment
            await self._runs.answer(actor, approval_id, Answer(approve=False, reason="the same call waits already"))
        return _asked_result(first)

    def _ask(self, ctx: Context, visit: Visit, result: CallResult) -> CallToolResult | InputRequiredResult:
        """Send the client to the person; where it cannot be sent, tell it where they answer."""
        address = f"{_address(visit)}#call-{result.call_id}"
        if not ctx.session.check_client_capability(_BY_ADDRESS):
            return waiting(result, address)
        message = f"{result.tool} must be approved: {result.decision.reason} Sign in there, look at it and answer."
        asking = ElicitRequest(params=ElicitRequestURLParams(message=message, url=address))
        return InputRequiredResult(input_requests={_INPUT: asking}, request_state=result.approval_id)

    async def _question(self, visit: Visit, params: CallToolRequestParams, approval_id: str) -> Question | None:
        """The question that a call waits for; None where the call has to be made anew.

        Raises:
            MCPError: Where what the client sent back is not of this call.
        """
        actor = visit.actor
        question: Question | None = None
        with suppress(ApprovalError):
            question = await self._host.question(approval_id, actor)
        prepared = await self._host.prepare(params.name, params.arguments or {}, actor)
        own = (
            question is not None
            and (question.user_id, question.key_id) == (actor.user_id, actor.key_id)
            and question.tool == params.name
            and canonical(question.arguments) == canonical(prepared.arguments)
        )
        if own:
            return question
        if params.request_state is not None:
            raise MCPError(INVALID_PARAMS, "The requestState is not of this call.")
        self._asked.drop(actor, params.name, params.arguments or {})
        return None

    async def _go_on(
        self, ctx: Context, visit: Visit, params: CallToolRequestParams, question: Question
    ) -> CallToolResult | InputRequiredResult:
        actor, arguments = visit.actor, params.arguments or {}
        said = (params.input_responses or {}).get(_INPUT)
        action = said.action if isinstance(said, ElicitResult) else None
        if question.open and action == "decline" and actor.attended:  # a key answers nothing, not even with no
            declined = Answer(approve=False, reason="declined in the client")
            result: CallResult | None = await self._runs.answer(actor, question.id, declined)
        elif question.open and (params.request_state is None or action in ("decline", "cancel")):
            return waiting(_asked_result(question), f"{_address(visit)}#call-{question.call_id}")
        else:
            result = await self._settled(question, visit)
        if result is None and params.request_state is None:
            return refused(ToolHostError("call_running", "The approved call has not ended yet.", _AGAIN))
        if result is None:  # the client comes back by itself, with nothing to ask anybody
            return InputRequiredResult(request_state=question.id)
        self._asked.drop(actor, params.name, arguments)
        return await result_of(self._host, actor, result, visit.origin)

    async def _settled(self, question: Question, visit: Visit) -> CallResult | None:
        """What became of a question's call; None where that takes longer than a client waits."""
        looking = asyncio.ensure_future(self._became(question, visit))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((looking, closing), timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if looking.done() else None
        finally:
            looking.cancel()
            closing.cancel()

    async def _became(self, question: Question, visit: Visit) -> CallResult:
        settled = await self._host.until_settled(question.id, visit.actor)
        return settled or await self._runs.calling.elsewhere(question.call_id, visit.actor)


def _address(visit: Visit) -> str:
    """Where a person answers."""
    return f"{visit.origin}/approvals"


def _asked_result(question: Question) -> CallResult:
    return CallResult(
        call_id=question.call_id,
        tool=question.tool,
        status="approval_required",
        decision=question.decision,
        approval_id=question.id,
    )
