"""A conversation as a file: JSON with everything, or Markdown to be read; calls with their records of the audit log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from toolhost.conversations import Conversation, Entry
from toolhost.host import Host
from toolhost.identifiers import now_ms
from toolhost.model import Actor
from toolhost.shown import shown
from toolhost.storage.tables import audit_index

__all__ = ["as_json", "as_markdown", "gather"]

_LINES = "\n\t"


async def gather(host: Host, actor: Actor, conversation: Conversation, entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything that an export holds, as JSON values.

    Args:
        host: The host.
        actor: Whose conversation it is.
        conversation: The conversation.
        entries: Of the branch that is shown.
    """
    called = [entry.call_id for entry in entries if entry.call_id is not None]
    records = await host.call_records(called, actor)
    audit: dict[str, list[dict[str, Any]]] = {}
    async with host.database.begin() as connection:
        for call_id in called:
            query = select(audit_index.c.line).where(audit_index.c.call_id == call_id).order_by(audit_index.c.seq)
            lines = [json.loads(line) for line in (await connection.execute(query)).scalars()]
            audit[call_id] = [{key: line[key] for key in ("seq", "event", "timestamp", "hash")} for line in lines]
    return {
        "format": "toolhost-conversation-1",
        "exported": _time(now_ms()),
        "conversation": conversation.as_json(),
        "entries": [
            {
                **entry.as_json(),
                **(
                    {} if entry.call_id is None else {"call": records.get(entry.call_id), "audit": audit[entry.call_id]}
                ),
            }
            for entry in entries
        ],
    }


def as_json(gathered: Mapping[str, Any]) -> str:
    """The export as a JSON text."""
    return json.dumps(gathered, ensure_ascii=False, indent=2) + "\n"


def as_markdown(gathered: Mapping[str, Any]) -> str:
    """The export as Markdown. What cannot be seen is written out, so that the file shows what it holds."""
    conversation = gathered["conversation"]
    name, begun = conversation["id"], _time(conversation["created"])
    pieces = [
        f"# {shown(conversation['title']) or name}",
        f"Conversation `{name}`, begun {begun}, exported {gathered['exported']}.",
    ]
    for entry in gathered["entries"]:
        pieces += _call(entry) if entry["kind"] == "call" else _message(entry)
    return "\n\n".join(pieces) + "\n"


def _message(entry: Mapping[str, Any]) -> list[str]:
    who = {"user": "You", "assistant": "Model"}.get(entry["kind"], "Toolhost")
    model = (entry.get("data") or {}).get("model") if entry["kind"] == "assistant" else None
    text = shown(entry["text"], _LINES)
    if entry["kind"] == "error":
        text = shown(str((entry.get("data") or {}).get("message", entry["text"])), _LINES)
    return [f"## {who}{f' ({shown(str(model))})' if model else ''}", text]


def _call(entry: Mapping[str, Any]) -> list[str]:
    record = entry["call"]
    if record is None:
        return [f"## Call `{entry['call_id']}`", "The server stopped before it was made."]
    result = record["result"] or {}
    decision = result.get("decision") or {}
    plan = record["plan"] or {}
    pieces = [f"## {shown(record['tool'])}", _fenced(_command(plan, record["arguments"]))]
    said = f"Status: `{record['status']}`"
    if decision:
        source = decision.get("source")
        said += f". Decision: `{decision.get('outcome')}` ({f'`{shown(str(source))}`' if source else 'no rule'})"
    pieces.append(said + ".")
    for stream in ("stdout", "stderr"):
        if result.get(stream):
            pieces += [f"{stream}:", _fenced(result[stream])]
    if result.get("error"):
        pieces.append(f"Error `{result['error']['code']}`: {shown(result['error']['message'], _LINES)}")
    if entry["audit"]:
        pieces.append(
            "Audit: " + ", ".join(f"#{line['seq']} {line['event']} `{line['hash']}`" for line in entry["audit"])
        )
    return pieces


def _command(plan: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    argv = plan.get("argv")
    return json.dumps(argv or arguments, ensure_ascii=False)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    body = shown(text, _LINES)
    return f"{fence}\n{body}{'' if body.endswith(chr(10)) else chr(10)}{fence}"


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
