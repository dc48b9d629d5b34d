"""One audit record: the envelope, its place in the chain, and its one line of JSON."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Literal

from toolhost.identifiers import new_id, now_ms
from toolhost.model import Actor

__all__ = ["GENESIS", "AuditRecord", "Category", "Encoded", "Level", "read_line", "seal", "verify_line"]

Category = Literal["auth", "tools", "security", "system"]
Level = Literal["INFO", "WARNING", "ERROR"]

_SHA256 = hashlib.sha256()
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)

GENESIS = "sha256:" + "0" * 64
"""What the first record names as its predecessor."""


class Encoded(str):
    """A value of a record's details that is canonical JSON already: made once for the many records that have it."""

    __slots__ = ()

    @classmethod
    def of(cls, value: Any) -> Encoded:
        """Encode a value."""
        return cls(_ENCODER.encode(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One sealed record.

    Attributes:
        seq: Position in the log, from 1.
        id: `a_...`.
        timestamp: Milliseconds since the epoch.
        category: `auth`, `tools`, `security` or `system`.
        event: Such as `tool.intent`.
        call_id: The call it belongs to, or None.
        user_id: Who acted, or None.
        hash: Digest that the next record names.
        line: The JSON line without its newline.
    """

    seq: int
    id: str
    timestamp: int
    category: str
    event: str
    call_id: str | None
    user_id: str | None
    hash: str
    line: str


def seal(
    category: Category,
    event: str,
    details: Mapping[str, Any],
    *,
    seq: int,
    prev_hash: str,
    actor: Actor | None = None,
    call_id: str | None = None,
    level: Level = "INFO",
) -> AuditRecord:
    """Make the record that follows `prev_hash`. Control and non-ASCII characters are escaped: a record is one line."""
    moment = now_ms()
    who = {"user": actor.username, "ip": actor.ip, "channel": actor.channel} if actor else {}
    if actor and actor.key_id:
        who["by_key"] = actor.key_id
    identity, user_id = new_id("a"), actor.user_id if actor else None
    # Written out, the names sorted as everywhere: twice a call, and the encoder takes longer to begin than to encode.
    canonical = (
        f'{{"call_id":{_text(call_id)},"category":"{category}","details":{_object({**details, **who})},'
        f'"event":{_quoted(event)},"id":"{identity}","level":"{level}","prev_hash":"{prev_hash}",'
        f'"request_id":{_text(actor.request_id if actor else None)},"seq":{seq},'
        f'"session":{_text(actor.session_id if actor else None)},'
        f'"timestamp":"{_second(moment // 1000)}.{moment % 1000:03d}Z","user_id":{_text(user_id)}}}'
    )
    digest = _digest(canonical)
    return AuditRecord(
        seq=seq,
        id=identity,
        timestamp=moment,
        category=category,
        event=event,
        call_id=call_id,
        user_id=user_id,
        hash=digest,
        line=_sealed(canonical, digest),
    )


def read_line(line: str) -> dict[str, Any]:
    """What stands in a line, whoever wrote it.

    Raises:
        ValueError: It is no JSON object.
    """
    try:
        body = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(body, dict):
        raise ValueError("no object")
    return body


def verify_line(line: str) -> tuple[int, str, str] | None:
    """The sequence number, predecessor and own hash of a line, or None where it is not a record as it was sealed."""
    try:
        body = read_line(line)
        digest = body.pop("hash")
        seq, prev_hash = body["seq"], body["prev_hash"]
    except (ValueError, KeyError):
        return None
    if not isinstance(seq, int) or not isinstance(prev_hash, str):
        return None
    canonical = _ENCODER.encode(body)
    # To the letter: with a name that stands there twice, others could read something else than was sealed.
    if digest != _digest(canonical) or line != _sealed(canonical, digest):
        return None
    return seq, prev_hash, digest


@functools.lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """A second since the epoch, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _sealed(canonical: str, digest: str) -> str:
    return f'{canonical[:-1]},"hash":"{digest}"}}'


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


def _object(values: dict[str, Any]) -> str:
    """An object with its encoded values in their places."""
    if Encoded not in map(type, values.values()):
        return _ENCODER.encode(values)
    parts: list[str] = []
    run: dict[str, Any] = {}
    for name in sorted(values):
        value = values[name]
        if type(value) is not Encoded:
            run[name] = value
            continue
        if run:
            parts.append(_ENCODER.encode(run)[1:-1])
            run = {}
        parts.append(f"{_quoted(name)}:{value}")
    if run:
        parts.append(_ENCODER.encode(run)[1:-1])
    return f"{{{','.join(parts)}}}"


def _digest(canonical: str) -> str:
    digest = _SHA256.copy()  # to ask OpenSSL for it takes longer than most records
    digest.update(canonical.encode())
    return f"sha256:{digest.hexdigest()}"
