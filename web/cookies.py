"""The browser's cookies: `__Host-` under TLS, another name on plain-HTTP loopback, none on other plain connections."""

from __future__ import annotations

import ipaddress
from typing import Literal

from quart import Response, request
from werkzeug.datastructures import ImmutableMultiDict

from toolhost.accounts import ACCESS_SECONDS, REFRESH_SECONDS, SignedIn

__all__ = ["COOKIES", "clear_session", "cookie_name", "may_set_cookies", "read_cookie", "set_session"]

Kind = Literal["access", "refresh"]
COOKIES: tuple[Kind, ...] = ("access", "refresh")


def cookie_name(kind: Kind, *, secure: bool) -> str:
    """The name of a cookie. `__Host-` binds it to this host and path, and browsers accept it only with Secure."""
    return f"__Host-toolhost-{kind}" if secure else f"toolhost-{kind}"


def read_cookie(cookies: ImmutableMultiDict[str, str], kind: Kind, scheme: str) -> str | None:
    """The cookie of this kind that belongs to the connection's scheme."""
    return cookies.get(cookie_name(kind, secure=scheme in ("https", "wss")))


def may_set_cookies() -> bool:
    """Whether this connection may carry a session: TLS, or a client on this machine."""
    if request.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def set_session(response: Response, signed_in: SignedIn) -> None:
    """Give the browser its tokens. SameSite=Lax lets a link from elsewhere open a page, and change nothing."""
    _set(response, "access", signed_in.access_token, ACCESS_SECONDS, "Lax")
    if signed_in.refresh_token is not None:
        _set(response, "refresh", signed_in.refresh_token, REFRESH_SECONDS, "Lax")


def clear_session(response: Response) -> None:
    """Take the tokens back."""
    _set(response, "access", "", 0, "Lax")
    _set(response, "refresh", "", 0, "Lax")


def _set(response: Response, kind: Kind, value: str, age: int, same_site: str) -> None:
    secure = request.scheme == "https"
    response.set_cookie(
        cookie_name(kind, secure=secure),
        value,
        max_age=age,
        path="/",
        secure=secure,
        httponly=True,
        samesite=same_site,
    )
