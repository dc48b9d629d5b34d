"""What the host holds about one person: taken along as one archive, or deleted.

Every table says of its rows whose they are by a column, so a table that comes later is in the archive by itself. What
would let somebody in (hashes, tokens, secrets) stays out of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from sqlalchemy import LargeBinary, Table, delete, select

from toolhost.errors import UsageError
from toolhost.forgetting import forget
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.removal import remove_folder
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.collect import CollectLimits, CollectRefused, read_collected, spelled, survey
from toolhost.storage.tables import approvals, audit_index, calls, conversations, grants, metadata, users

__all__ = ["LARGEST_FILES", "erase", "export"]

LARGEST_FILES = 256 << 20
"""Bytes of workspace files that an archive holds; `left_out.json` names what did not fit."""

_UNSAID = re.compile(r"hash|secret|token|digest|password|totp|code|cipher|nonce|\bkey\b")


async def export(host: Host, actor: Actor) -> IO[bytes]:
    """One zip file with everything the host holds about a person.

    Returns:
        An unnamed temporary file, at its beginning; the caller closes it.
    """
    rows = {table.name: await _rows(host, table, actor.user_id) for table in metadata.sorted_tables}
    folders = [(row["id"], str(host.data.workspaces / row["id"])) for row in rows["conversations"]]
    folders.append(("outside_conversations", str(host.data.workspaces / actor.user_id)))
    return await asyncio.to_thread(_archive, rows, folders)


async def erase(host: Host, actor: Actor, confirm: object) -> int:
    """Delete a person's conversations and all that hangs on them; the account and the audit log stay.

    Args:
        host: The host. The person's runs have ended.
        actor: Whose data.
        confirm: Their name, typed.

    Returns:
        How many conversations there were.

    Raises:
        UsageError: `confirmation_wrong`.
    """
    if confirm != actor.username:
        raise UsageError("confirmation_wrong", "The name that confirms this is not yours.", "Type your own name.")
    owner = actor.user_id
    mine = select(conversations.c.id).where(conversations.c.user_id == owner)
    async with host.database.begin() as connection:
        gone = list((await connection.execute(mine)).scalars())
    host.audit.write("system", "data.erased", {"conversations": len(gone)}, actor=actor)
    await forget(host, gone)
    async with host.database.begin() as connection:
        for table in (approvals, grants, calls):
            await connection.execute(delete(table).where(table.c.user_id == owner))
    await asyncio.to_thread(remove_folder, host.data.workspaces / owner)
    return len(gone)


async def _rows(host: Host, table: Table, owner: str) -> list[dict[str, Any]]:
    mine = select(conversations.c.id).where(conversations.c.user_id == owner)
    if table is users:
        condition = table.c.id == owner
    elif "user_id" in table.c:
        condition = table.c.user_id == owner
    elif "conversation_id" in table.c:
        condition = table.c.conversation_id.in_(mine)
    else:
        return []
    columns = [c for c in table.c if not _UNSAID.search(c.name) and not isinstance(c.type, LargeBinary)]
    async with host.database.begin() as connection:
        found = (await connection.execute(select(*columns).where(condition))).mappings().all()
    return [{name: _read(value) for name, value in row.items()} for row in found]


def _read(value: Any) -> Any:
    """What a column holds as JSON text, as JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            return json.loads(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _archive(rows: dict[str, list[dict[str, Any]]], folders: list[tuple[str, str]]) -> IO[bytes]:
    made = tempfile.TemporaryFile()  # noqa: SIM115  # the caller sends it, and closes it
    left_out: list[dict[str, str]] = []
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, members in rows.items():
            if members and name != audit_index.name:
                archive.writestr(f"{name}.json", json.dumps(members, ensure_ascii=False, indent=1))
        audit = rows[audit_index.name]
        archive.writestr("audit.jsonl", "".join(json.dumps(row["line"], ensure_ascii=False) + "\n" for row in audit))
        room = LARGEST_FILES
        for name, folder in folders:
            for path, content, problem in _files(folder, room):
                if problem is None:
                    room -= len(content)
                    archive.writestr(f"workspaces/{name}/{path}", content)
                else:
                    left_out.append({"file": f"{name}/{path}", "because": problem})
        archive.writestr("left_out.json", json.dumps(left_out, ensure_ascii=False, indent=1))
    made.seek(0)
    return made


def _files(folder: str, room: int) -> Iterator[tuple[str, bytes, str | None]]:
    """The files of a workspace, each with its content or why it is left out."""
    try:
        root = open_without_links(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return  # nothing was ever put there
    try:
        for entry in survey(root, CollectLimits(size=room)):
            if entry.kind == "folder":
                continue
            path = spelled(entry.path)
            if entry.kind != "file" or entry.size > room:
                yield path, b"", entry.kind if entry.kind != "file" else "too_large"
                continue
            try:
                content = read_collected(root, entry.path, room)
            except (CollectRefused, OSError) as error:
                yield path, b"", getattr(error, "code", "unreadable")
                continue
            room -= len(content)
            yield path, content, None
    finally:
        os.close(root)
