"""A tool's question that nobody answers: its time is over, the tool is told, and the record has both."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from toolhost.audit import AuditLog
from toolhost.calls import inquiries
from toolhost.calls.telling import Telling
from toolhost.errors import AccessError, ToolHostError
from toolhost.model import Actor, Call, Tool
from toolhost.redaction import Redaction

ADA = Actor(user_id="u_ada", username="ada", role="user", channel="web")
TOOL = Tool(name="asks.choose", plugin="asks", about="Ask.", input_schema={"type": "object"})


async def test_a_question_that_nobody_answers_in_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "LIFETIME_MS", 20)
    log = AuditLog(tmp_path / "audit.log", lambda record: None)
    try:
        open_ones = inquiries.Inquiries(log)
        told: list[dict[str, Any]] = []
        call = Call(id="c_1", tool=TOOL, arguments={}, actor=ADA, workspace=str(tmp_path))
        telling = Telling(call.id, told.append, Redaction([b"swordfish"]), heard=True)
        with pytest.raises(ToolHostError) as late:
            await open_ones.ask(call, {"question": "Is swordfish it?"}, telling, nullcontext)
        assert late.value.code == "inquiry_expired"
        assert [event["type"] for event in told] == ["tool.asked", "tool.answered"]
        assert told[0]["question"] == "Is [redacted] it?", "a secret of the call is not asked about either"
        assert told[1]["outcome"] == "expired"
        with pytest.raises(AccessError):
            open_ones.answer(told[0]["inquiry_id"], ADA, "too late")
    finally:
        log.close()
    records = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(one["event"], one["details"].get("outcome")) for one in records] == [
        ("tool.asked", None),
        ("tool.answered", "expired"),
    ]
