"""What every request needs, held by the application."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from quart import current_app

from toolhost.accounts import Accounts
from toolhost.agent import Models
from toolhost.agent.feedback import Feedback
from toolhost.conversations import Conversations
from toolhost.evidence import Handover
from toolhost.host import Host
from toolhost.sharing import Shares
from toolhost.web.answering import Messages
from toolhost.web.language import Languages
from toolhost.web.mcp.endpoint import Endpoint
from toolhost.web.rates import Rates
from toolhost.web.runs import Runs
from toolhost.web.sockets import Sockets

__all__ = ["EXTENSION", "Site", "site"]

EXTENSION = "toolhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts of one application.

    Attributes:
        host: The tool host.
        accounts: People and sessions.
        conversations: What people see.
        runs: What is under way.
        models: What may answer.
        feedback: What people say of the answers.
        messages: What a model answers, and what waits for that.
        shares: Read-only links.
        handover: What investigations take away.
        mcp: What answers clients of the Model Context Protocol.
        sockets: The open WebSockets.
        streams: The open streams of server-sent events.
        rates: How often somebody may ask.
        languages: The catalogues.
        allowed_hosts: Names under which this server may be addressed, lower case, without port.
        static: The folder of the page's own files.
    """

    host: Host
    accounts: Accounts
    conversations: Conversations
    runs: Runs
    models: Models
    feedback: Feedback
    messages: Messages
    shares: Shares
    handover: Handover
    mcp: Endpoint
    sockets: Sockets
    streams: Sockets
    rates: Rates
    languages: Languages
    allowed_hosts: frozenset[str]
    static: Path


def site() -> Site:
    """The parts of the application that serves this request."""
    return cast(Site, current_app.extensions[EXTENSION])
