"""`toolhost plugin check`: everything that can be said of a plugin before somebody installs it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from toolhost.cli.exits import Exit, reported
from toolhost.cli.terminal import safe
from toolhost.errors import ToolHostError
from toolhost.service_user import SERVICE_USER, become_service_user
from toolhost.testing.examination import Found, examine
from toolhost.testing.places import plugin_folder

__all__ = ["command"]


@click.command("check")
@click.argument("path", metavar="[FOLDER]", required=False)
@click.option("--no-attack", is_flag=True, help="Leave out the attacks, which take some seconds.")
@reported
def command(path: str | None, no_attack: bool) -> None:
    """Check a plugin that is worked on: the one in FOLDER, or below the current folder.

    Its manifest, its schemas, its request for a policy with the examples in it, what lint says of that, and the attack
    battery under it. Exits with 1 if anything is found.
    """
    folder = plugin_folder(path or ".")
    clean = True
    with _staged(folder) as copy:
        for found in examine(copy, attack=not no_attack):
            clean = clean and found.fine
            click.echo(safe(_line(found)))
    if not clean:
        sys.exit(Exit.FAILED)


def _line(found: Found) -> str:
    return f"{'ok' if found.fine else 'FOUND':<6} {found.part}: {found.said}"


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A copy of the plugin that the service user may read; root is given up before anything of it is looked at."""
    made = Path(tempfile.mkdtemp(prefix="toolhost-check-"))
    try:
        copy = made / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
        if 0 in os.getresuid():
            for path in (made, *made.rglob("*")):
                shutil.chown(path, SERVICE_USER, SERVICE_USER)
            made.chmod(0o755)
            become_service_user(made / "data")
        yield copy
    except LookupError:
        become_service_user(made)  # says that there is no such user, and how to make it
        raise ToolHostError("service_user_missing", "There is no service user.") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
