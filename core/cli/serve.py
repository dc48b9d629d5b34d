"""`toolhost serve`: the web chat and the API, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import signal
import socket
from importlib import metadata
from typing import TYPE_CHECKING

import click

from toolhost.cli.ending import end_within_the_limit
from toolhost.cli.exits import reported
from toolhost.cli.session import enter, start_sandbox
from toolhost.data import DataDirectory
from toolhost.errors import MachineError
from toolhost.panic import PanicSwitch
from toolhost.settings import SETTINGS, Settings, check_exposure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from quart import Quart

    from toolhost.host import Host
    from toolhost.sandbox import Sandbox
    from toolhost.sandbox.errors import SandboxUnavailable

__all__ = ["command", "listen", "serve"]


@click.command("serve")
@reported
def command(**flags: str | None) -> None:
    """Serve the web chat and the API.

    Until somebody has an account, the address of the setup page is printed with its one-time token.
    """
    settings = enter(flags)
    check_exposure(settings)
    data = DataDirectory(settings)
    data.prepare()
    with data.lock(), listen(settings) as listener:
        # Before the event loop: the sandbox forks, and a fork copies whatever threads and loops there are.
        sandbox, problem = start_sandbox(data)
        asyncio.run(serve(settings, listener, sandbox, problem), debug=settings.debug)


for _setting in reversed(SETTINGS):
    if _setting.flag is not None:
        _default = f"; default: {_setting.shown}" if _setting.shown else ""
        command = click.option(
            _setting.flag, _setting.name, help=f"{_setting.help} [env: {_setting.variables[0]}{_default}]"
        )(command)


def listen(settings: Settings) -> socket.socket:
    """The listening socket, bound here so that a port in use is one sentence before anything was started."""
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MachineError(
                "port_in_use",
                f"Port {settings.port} of {settings.host} is in use by another program.",
                "Stop that program, or choose another port with --port.",
            ) from None
        raise MachineError(
            "address_not_usable",
            f"The server cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            "Choose another address with --host or another port with --port.",
        ) from None
    return listener


async def serve(
    settings: Settings,
    listener: socket.socket,
    sandbox: Sandbox | None,
    problem: SandboxUnavailable | None,
    *,
    prepare: Callable[[Quart, str], Awaitable[None]] | None = None,
) -> None:
    """Serve until a signal comes; before the first request `prepare(app, url)` does what there is to do, if given."""
    # Imported here: the web room and its framework are for the server alone.
    from toolhost import metrics
    from toolhost.host import Host
    from toolhost.logs import configure
    from toolhost.sandbox.selfattack import proven
    from toolhost.web import create_app, new_setup_token
    from toolhost.web import serve as serve_app

    configure(settings)
    metrics.enable()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            end_within_the_limit(loop)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)

    panicked = PanicSwitch(DataDirectory(settings).state).current() is not None
    if sandbox is not None and not panicked:
        problem = await proven(sandbox)
        if problem is not None:
            await sandbox.close()
            sandbox = None
    async with Host.open(settings, sandbox, problem) as host, host.following():
        if panicked:
            await host.stopping.begin_stopped()
        app = create_app(host, allowed_hosts=settings.allowed_hosts)
        scheme = "http" if settings.certfile is None else "https"
        url = f"{scheme}://{_in_url(settings.host)}:{settings.port}"
        click.echo(f"Toolhost serves on {url}")
        if prepare is not None:
            await prepare(app, url)
        token = await new_setup_token(app)
        if token is not None:
            click.echo(f"Create the first administrator: {url}/setup#token={token}")
        if problem is not None:
            click.echo(f"warning: tools cannot run: {problem.message} [{problem.code}]", err=True)
            click.echo(f"hint: {problem.hint}", err=True)
        if panicked:
            click.echo("warning: everything is stopped until `toolhost resume`", err=True)
        host.audit.write(
            "system", "server.started", _started(host, problem), level="INFO" if problem is None else "WARNING"
        )
        click.echo("Ready. Ctrl-C stops it.")
        await serve_app(app, listener, stopped, certfile=settings.certfile, keyfile=settings.keyfile)
        host.audit.write("system", "server.stopped", {})


def _started(host: Host, problem: SandboxUnavailable | None) -> dict[str, object]:
    """What was in force when a server began: later, the records of changes say what became of it."""
    settings, policies = host.settings, host.policies.current
    shown = {one.name: "****" if one.secret else str(getattr(settings, one.name)) for one in SETTINGS}
    return {
        "version": metadata.version("toolhost"),
        "settings_digest": "sha256:" + hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest(),
        "settings": {name: origin for name, origin in settings.origins.items() if origin != "default"},
        "policies": {name: policies.digest(name) for name in sorted(policies.policies)},
        "sandbox": "ok" if problem is None else problem.code,
    }


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
