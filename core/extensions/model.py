"""What trusted extensions are given and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Explanation", "Identity", "IncomingRequest", "Objection", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRequest:
    """A request whose sender is to be known.

    Attributes:
        peer: The address that the connection comes from: a proxy's, where one stands before the server.
        trusted: Whether that is one of the setting `trusted_proxies`.
        method: The HTTP method; `GET` for a WebSocket.
        path: The path.
        headers: By name in lower case; of several with one name, the first is not told from the others: joined by `,`.
    """

    peer: str
    trusted: bool
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who somebody is, as whoever vouches for them says.

    Attributes:
        username: Their name here.
        role: The role of an account that is made where there is none yet; None makes none, and refuses them.
        proved: When they last proved it, milliseconds since the epoch; 0 where that is not known, and then they cannot
            do
            what asks for a password again.
    """

    username: str
    role: str | None = None
    proved: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says of a call.

    Attributes:
        outcome: `allow` says nothing against it, and lifts nothing.
        reason: One sentence for whoever made the call.
        code: Stable lower_snake code.
    """

    outcome: Literal["allow", "ask", "deny"]
    reason: str
    code: str = "extension_says_no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What a house rule has against a policy.

    Attributes:
        message: One sentence that says what to change.
        key: What it is about, such as `network.allow`; empty for the whole file.
    """

    message: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Other words for a failure.

    Attributes:
        message: One sentence: what happened.
        hint: One sentence: what to do instead, or an empty string.
    """

    message: str
    hint: str = ""
