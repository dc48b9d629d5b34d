"""`toolhost demo`: a server to try things out on, with nothing to set up and nothing that stays."""

from __future__ import annotations

import asyncio
import os
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
    """Serve a demo on this machine: the whole first run, with temporary data and no model.

    Prints the address where it begins. Everything it made is deleted when it ends.
    """
    # What is set for the server of this machine is not meant for the demo.
    for name in [name for name in os.environ if name.startswith("TOOLHOST_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="toolhost-demo-"))
    folder.chmod(0o755)
    settings = enter({"data": str(folder), "host": "127.0.0.1", "port": port or str(_free_port())})
    data = DataDirectory(settings)
    data.prepare()
    _plant(data)
    try:
        with data.lock(), listen(settings) as listener:
            sandbox, problem = start_sandbox(data)
            asyncio.run(serve(settings, listener, sandbox, problem, prepare=_prepare))
    finally:
        remove_folder(folder)
        if folder.exists():
            click.echo(f"The folder {folder} is left; it is empty or can be removed.", err=True)


def _plant(data: DataDirectory) -> None:
    """A folder with something in it, which conversations of the demo are about unless another one is chosen."""
    garden = data.workspaces / "garden"
    garden.mkdir()
    for name, text in _FILES.items():
        (garden / name).write_text(text)
    with (data.policies / "host.toml").open("a") as host:
        host.write(f'\n[workspaces]\ngarden = {{ path = "{garden}", write = true }}\n')


async def _prepare(app: Quart, url: str) -> None:
    """Say what this is; the address of the first run follows."""
    app.config["DEMO"] = True
    click.echo("This is a demo: no model, temporary data, deleted when it ends.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
