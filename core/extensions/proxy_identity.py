"""Who somebody is, by a header that a reverse proxy sets once it has signed them in (OpenID Connect, SAML, LDAP).

`extensions = ["toolhost.extensions.proxy_identity"]`, and the proxy's address in `trusted_proxies`: from any other peer
the headers count for nothing. The proxy must remove what clients send under these names.

    [extension.proxy_identity]
    header = "remote-user"          # its value is the user name; or
    jwt_header = "x-id-token"       # a signed token, which is checked:
    jwt_key = "/etc/toolhost/idp.pem"
    issuer = "https://id.example.org"
    audience = "toolhost"
    claim = "preferred_username"
    role = "user"                   # of accounts that are made at the first sight of somebody; without it none are
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jwt

from toolhost.errors import AccessError, MachineError
from toolhost.extensions.model import Identity, IncomingRequest
from toolhost.extensions.options import options
from toolhost.hookspecs import hookimpl
from toolhost.rights import ROLES

if TYPE_CHECKING:
    from toolhost.settings import Settings

__all__ = ["ProxyIdentity", "extension"]

_NAME = "proxy_identity"
# Signatures by a private key that is elsewhere: whoever can read a shared one could write tokens.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_SCOPE_ERRORS = (jwt.InvalidTokenError, ValueError, TypeError)


class ProxyIdentity:
    """Reads the header of trusted proxies.

    Args:
        header: Name of the header with the user name, or with a token where there is a key; lower case.
        key: The public key that tokens are signed for, PEM; None where the header is the name itself.
        issuer: Who must have issued a token; None where anybody may who has the key.
        audience: For whom it must be issued; None likewise.
        claim: The claim with the user name.
        role: The role of accounts that are made; None where none are.
    """

    def __init__(
        self,
        header: str,
        *,
        key: str | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        claim: str = "preferred_username",
        role: str | None = None,
    ) -> None:
        self._header = header
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._claim = claim
        self._role = role

    @hookimpl
    def actor_from_request(self, request: IncomingRequest) -> Identity | None:
        """The person whom a trusted proxy names; nobody where it names none, or where it is no trusted proxy."""
        said = request.headers.get(self._header, "").strip()
        if not request.trusted or not said:
            return None
        if self._key is None:
            return Identity(username=said.lower(), role=self._role)
        try:
            claims = jwt.decode(
                said,
                self._key,
                algorithms=_ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp"], "verify_aud": self._audience is not None},
            )
            proved = int(claims.get("auth_time", 0)) * 1000
        except _SCOPE_ERRORS as error:
            raise AccessError("not_authenticated", f"The proxy's token is not valid: {error}.") from None
        name = claims.get(self._claim)
        if not isinstance(name, str) or not name:
            raise AccessError("not_authenticated", f"The proxy's token has no claim {self._claim!r}.")
        return Identity(username=name.lower(), role=self._role, proved=proved)


def extension(settings: Settings) -> ProxyIdentity:
    """The extension as the settings want it.

    Raises:
        UsageError: `setting_invalid`.
        MachineError: `extension_failed`: no proxy is trusted, or the key cannot be read.
    """
    keys = ("header", "jwt_header", "jwt_key", "issuer", "audience", "claim", "role")
    with options(settings, _NAME, *keys) as table:
        found = {name: None if (text := table.text(name)) is None else text.text for name in keys}
        if (found["header"] is None) == (found["jwt_header"] is None):
            table.problem(table.place(), "bad_value", "Write either `header` or `jwt_header`.")
        if (found["jwt_header"] is None) != (found["jwt_key"] is None):
            table.problem(table.place(), "bad_value", "`jwt_header` and `jwt_key` go together.")
        if found["role"] not in (None, *ROLES):
            table.problem(table.place("role"), "bad_value", f"`role` is one of {', '.join(ROLES)}.")
    if not settings.trusted_proxies:
        raise _unusable("the setting `trusted_proxies` names no proxy whose headers could be believed")
    key = None
    if found["jwt_key"] is not None:
        try:
            key = Path(found["jwt_key"]).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise _unusable(f"the key {found['jwt_key']} cannot be read: {error}") from None
    header = found["header"] or found["jwt_header"] or ""
    return ProxyIdentity(
        header.lower(),
        key=key,
        issuer=found["issuer"],
        audience=found["audience"],
        claim=found["claim"] or "preferred_username",
        role=found["role"],
    )


def _unusable(why: str) -> MachineError:
    return MachineError("extension_failed", f"The trusted extension {_NAME} cannot be used: {why}.", "")
