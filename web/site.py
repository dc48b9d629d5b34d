"""What every request needs, held by the application."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from quart import current_app

from toolhost.accounts import Accounts
from toolhost.conversations import Conversations
from toolhost.host import Host
from toolhost.web.language import Languages
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
        sockets: The open WebSockets.
        languages: The catalogues.
        allowed_hosts: Names under which this server may be addressed, lower case, without port.
        static: The folder of the page's own files.
    """

    host: Host
    accounts: Accounts
    conversations: Conversations
    runs: Runs
    sockets: Sockets
    languages: Languages
    allowed_hosts: frozenset[str]
    static: Path


def site() -> Site:
    """The parts of the application that serves this request."""
    return cast(Site, current_app.extensions[EXTENSION])
