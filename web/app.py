"""The application: pages, REST and the WebSocket over one host."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from functools import partial
from pathlib import Path

from quart import Blueprint, Quart, current_app, has_request_context, request

from toolhost.accounts import Accounts
from toolhost.accounts.signing import SigningKeys
from toolhost.agent import Models, read_agent
from toolhost.agent.feedback import Feedback
from toolhost.audit import moment_of
from toolhost.conversations import Conversations
from toolhost.errors import MachineError, PluginError
from toolhost.evidence import Handover
from toolhost.host import Host
from toolhost.sharing import Shares
from toolhost.web import admin, api, chat, doors, errors, pages, palette, settings, welcome, workspace_panel
from toolhost.web.answering import Messages
from toolhost.web.bodies import LARGEST
from toolhost.web.draining import Draining
from toolhost.web.finishing import Finishing
from toolhost.web.forwarded import Forwarded
from toolhost.web.fragments import language_of_request
from toolhost.web.guard import LOOPBACK_NAMES, admit
from toolhost.web.headers import add_headers, add_refusal_headers
from toolhost.web.language import Languages
from toolhost.web.lines import blocks
from toolhost.web.mcp import route as mcp
from toolhost.web.mcp.endpoint import Endpoint
from toolhost.web.measuring import measure
from toolhost.web.rates import Rates
from toolhost.web.readable import Readable
from toolhost.web.runs import Runs
from toolhost.web.site import EXTENSION, Site, site
from toolhost.web.sizes import Sized, size_text
from toolhost.web.sockets import Sockets
from toolhost.web.tidying import keep_tidy
from toolhost.web.visible import chip, excerpt, prose, visible, visible_text
from toolhost.web.withdrawing import following as withdrawals
from toolhost.web.withdrawing import withdraw

__all__ = ["create_app", "new_setup_token"]

_HERE = Path(__file__).parent


def create_app(host: Host, *, allowed_hosts: Iterable[str] = ()) -> Quart:
    """The application over an open host.

    Args:
        host: The host; the caller closes it after the application.
        allowed_hosts: Names besides the loopback ones under which this server may be addressed.

    Raises:
        MachineError: Where the signing key cannot be used.
        UsageError: `setting_invalid`, where the settings of models are.
    """
    app = Finishing("toolhost.web", static_folder=None, template_folder=str(_HERE / "templates"), root_path=str(_HERE))
    app.config.update(MAX_CONTENT_LENGTH=LARGEST, BODY_TIMEOUT=30, RESPONSE_TIMEOUT=60)
    app.request_class = Sized
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        blocks=blocks,
        size=size_text,
        chip=chip,
        excerpt=excerpt,
        moment=moment_of,
        prose=prose,
        visible=visible,
        visible_text=visible_text,
    )
    accounts = Accounts(
        host.database, host.audit, SigningKeys.load(host.data.state, host.settings.jwt_secret_key), host.data.state
    )
    conversations = Conversations(host.database)
    runs = Runs(host, conversations)
    models = Models(read_agent(host.settings))
    parts = Site(
        host=host,
        accounts=accounts,
        conversations=conversations,
        runs=runs,
        models=models,
        feedback=Feedback(host.database),
        messages=Messages(host, conversations, runs, models),
        shares=Shares(host.database),
        handover=Handover(host),
        mcp=Endpoint(host, runs),
        sockets=Sockets(),
        streams=Sockets(),
        rates=Rates(host.settings, host.audit),
        languages=Languages(),
        allowed_hosts=LOOPBACK_NAMES | {name.lower() for name in allowed_hosts},
        static=_HERE / "static",
    )
    accounts.changes.on_change(parts.sockets.recheck)
    accounts.changes.on_change(parts.streams.recheck)
    accounts.changes.on_change(partial(withdraw, parts))
    host.on_tools_changed(lambda: parts.sockets.tell("tools.changed"))
    host.on_tools_changed(parts.mcp.tools_changed)
    host.on_waiting_changed(lambda user_id: parts.sockets.tell("waiting.changed", user_id))
    host.stopping.on_stop(parts.messages.stop_all)
    app.extensions[EXTENSION] = parts
    measure(parts)

    @app.while_serving
    async def following() -> AsyncGenerator[None]:
        async with accounts.following(), withdrawals(parts):
            yield
            await parts.mcp.ended()

    keep_tidy(app, host)
    app.before_request(admit)
    app.before_websocket(admit)
    app.after_request(add_headers)
    app.after_websocket(add_refusal_headers)
    outer = Readable(Forwarded(Draining(app.asgi_app), host.settings.trusted_proxies))
    app.asgi_app = outer  # type: ignore[method-assign]  # how Quart takes what stands around it
    app.context_processor(_template_values)
    errors.register(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(settings.blueprint)
    app.register_blueprint(settings.account.blueprint)
    app.register_blueprint(admin.blueprint)
    app.register_blueprint(workspace_panel.blueprint)
    app.register_blueprint(welcome.blueprint)
    app.register_blueprint(palette.blueprint)
    app.register_blueprint(doors.blueprint)
    app.register_blueprint(chat.blueprint)
    api.register(app)
    app.register_blueprint(mcp.blueprint)
    _mount(app, host)
    return app


def _mount(app: Quart, host: Host) -> None:
    """Mount what trusted extensions serve, below `/-/`."""
    try:
        for one, blueprints in host.hooks.collect("register_routes", host=host):
            for blueprint in blueprints or ():
                if not isinstance(blueprint, Blueprint):
                    raise PluginError("extension_failed", f"The extension {one.plugin_name} registers no blueprint.")
                app.register_blueprint(blueprint, url_prefix=f"/-/{blueprint.name}", name=f"-{blueprint.name}")
    except (PluginError, ValueError) as error:
        raise MachineError("extension_failed", str(error), "Repair it, or take it out of `extensions`.") from error


async def new_setup_token(app: Quart) -> str | None:
    """A one-time token for the setup page; None once somebody has an account, such as by `ADMIN_PASSWORD`."""
    parts: Site = app.extensions[EXTENSION]
    await parts.accounts.bootstrap(parts.host.settings.admin_password)
    return await parts.accounts.links.new_setup_token()


def _template_values() -> dict[str, object]:
    cookies = request.cookies if has_request_context() else {}
    theme = cookies.get("toolhost-theme")
    return {
        "t": language_of_request(),
        "languages": site().languages.codes,
        "demo": current_app.config.get("DEMO", False),
        "narrowed": cookies.get("toolhost-sidebar") == "closed",
        "theme": theme if theme in ("light", "dark") else "system",
    }
