"""`toolhost demo`: a server to try things out on, with nothing to set up and nothing that stays."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolhost.cli.exits import reported
from toolhost.cli.serve import listen, serve
from toolhost.cli.session import enter, start_sandbox
from toolhost.data import DataDirectory
from toolhost.removal import remove_folder

if TYPE_CHECKING:
    from quart import Quart

__all__ = ["command"]

_FILES = {
    "README.md": "# A garden\n\nThree trees, and who waters them. Try `/files.search pattern=oak`.\n",
    "trees.csv": "tree,litres,day\noak,12,Monday\nelm,8,Tuesday\nrowan,5,Friday\n",
    "water.py": 'import csv\n\nfor row in csv.DictReader(open("trees.csv")):\n    print(row["tree"], row["litres"])\n',
}


@click.command("demo")
@click.option("--port", default=None, help="Port to listen on; by default one that is free.")
@reported
def command(port: str | None) -> None:
    """Serve a demo on this machine: temporary data, an account, no model.

    Prints where to sign in and as whom. Everything it made is deleted when it ends.
    """
    # What is set for the server of this machine is not meant for the demo.
    for name in [name for name in os.environ if name.startswith("TOOLHOST_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="toolhost-demo-"))
    folder.chmod(0o755)
    settings = enter({"data": str(folder), "host": "127.0.0.1", "port": port or str(_free_port())})
    data = DataDirectory(settings)
    data.prepare()
    try:
        with data.lock(), listen(settings) as listener:
            sandbox, problem = start_sandbox(data)
            asyncio.run(serve(settings, listener, sandbox, problem, prepare=_prepare))
    finally:
        remove_folder(folder)
        if folder.exists():
            click.echo(f"The folder {folder} is left; it is empty or can be removed.", err=True)


async def _prepare(app: Quart, url: str) -> None:
    """Make an account with a conversation that has files in it, and say where it is."""
    from toolhost.accounts import Client
    from toolhost.web import new_setup_token
    from toolhost.web.site import EXTENSION, Site

    parts: Site = app.extensions[EXTENSION]
    app.config["DEMO"] = True
    password = secrets.token_urlsafe(12)
    user = await parts.accounts.links.complete_setup(await new_setup_token(app), "demo", password, Client())
    conversation = await parts.conversations.create(user.id, title="A garden")
    workspace = parts.host.data.own_workspace(conversation.id)
    for name, text in _FILES.items():
        (workspace / name).write_text(text)
    click.echo("This is a demo: no model, temporary data, deleted when it ends.")
    click.echo(f"Sign in at {url}/login?next=/welcome")
    click.echo(f"Name: demo  Password: {password}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
