"""`toolhost audit reindex`: the database's index of the log, made anew."""

from __future__ import annotations

import asyncio

import click

from toolhost.audit.index import AuditIndex
from toolhost.cli.exits import reported
from toolhost.cli.session import enter
from toolhost.data import DataDirectory
from toolhost.storage import Database
from toolhost.storage.behind import WriteBehind

__all__ = ["command"]


@click.command("reindex")
@reported
def command() -> None:
    """Make the index of the log in the database anew from the files, which are the authority."""
    data = DataDirectory(enter())
    data.prepare()

    async def rebuild() -> int:
        database = await Database.open(data.state / "toolhost.db")
        try:
            behind = WriteBehind(database)
            try:
                return await AuditIndex(database, behind).rebuild(data.audit_log)
            finally:
                await behind.close()
        finally:
            await database.close()

    count = asyncio.run(rebuild())
    click.echo(f"{count} records are indexed.")
