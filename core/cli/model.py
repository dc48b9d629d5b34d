"""`toolhost model`: the language models that may answer in the chat."""

from __future__ import annotations

import asyncio
import json
import sys

import click

from toolhost.agent import Models, ModelSpec, read_agent
from toolhost.agent.models import Tested
from toolhost.cli.exits import Exit, reported
from toolhost.cli.session import enter
from toolhost.cli.terminal import safe

__all__ = ["command"]


@click.group("model")
def command() -> None:
    """Look at the language models and try them."""


@command.command("list")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def list_models(output: str) -> None:
    """List the models of the settings and those found on this machine."""
    settings = read_agent(enter())

    async def found() -> tuple[ModelSpec, ...]:
        return await Models(settings).all()

    models = asyncio.run(found())
    if output == "json":
        click.echo(json.dumps([_json(model) for model in models]))
        return
    for model in models:
        where = "found here" if model.found else "of the settings"
        key = "no key" if model.key is None else f"key in {model.key}"
        click.echo(safe(f"{model.name}  {model.model} at {model.url} ({where}; {key}; {', '.join(sorted(model.who))})"))
    if not models:
        click.echo("There is no model. Add one under [[models]] in toolhost.toml, or start Ollama on this machine.")


@command.command("test")
@click.argument("name")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What is printed.")
@reported
def test(name: str, output: str) -> None:
    """Ask a model for one word."""
    settings = read_agent(enter())

    async def tried() -> Tested:
        return await Models(settings).test(name)

    tested = asyncio.run(tried())
    if output == "json":
        click.echo(json.dumps(tested.as_json()))
    elif tested.error is not None:
        click.echo(safe(f"{name}: {tested.error.code}: {tested.error.message}\n    {tested.error.hint}"), err=True)
    else:
        click.echo(safe(f"{name} answers: its first word came after {tested.first_ms:.0f} ms."))
    if not tested.ok:
        sys.exit(Exit.FAILED)


def _json(model: ModelSpec) -> dict[str, object]:
    return {
        "name": model.name,
        "provider": model.provider,
        "model": model.model,
        "url": model.url,
        "key": None if model.key is None else str(model.key),
        "context": model.context,
        "who": sorted(model.who),
        "found": model.found,
    }
