"""Tokens: signed access tokens that live for an hour, and opaque ones of which only a digest is stored."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

import jwt

from toolhost.accounts.signing import SigningKeys
from toolhost.errors import AccessError

__all__ = [
    "ACCESS_SECONDS",
    "REFRESH_SECONDS",
    "SESSION_SECONDS",
    "AccessClaims",
    "AccessTokens",
    "digest_of",
    "new_opaque_token",
]

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 7 * 24 * 3600
"""A session that is not renewed for so long ends."""

SESSION_SECONDS = 30 * 24 * 3600
"""So long at most does a session live, however often it is renewed."""

_ISSUER = "toolhost"
_AUDIENCE = "toolhost"
_LEEWAY = 5  # seconds that the clock may have been set back
_REMEMBERED = 10_000  # tokens whose signature need not be computed again; each takes about 500 bytes
_LONGEST = 4096  # characters; ours are about 450


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What a valid access token says: whose it is, of which session, and until when (seconds since the epoch)."""

    user_id: str
    session_id: str
    expires: int


class AccessTokens:
    """Signs and reads access tokens: JWT, HS256 and nothing else.

    Args:
        keys: What they are signed with, and by which they are known.
    """

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})
        self._proven: OrderedDict[str, AccessClaims] = OrderedDict()
        self._generation = keys.generation

    def issue(self, user_id: str, session_id: str) -> str:
        """A token of one hour, bound to a session."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "typ": "access",
            "sub": user_id,
            "sid": session_id,
            "jti": secrets.token_urlsafe(12),
            "iat": now,
            "exp": now + ACCESS_SECONDS,
        }
        return self._jwt.encode(claims, self._keys.current, algorithm="HS256", headers={"kid": self._keys.kid})

    def read(self, token: str) -> AccessClaims:
        """The claims of a token that is ours, whole and in date. Whether its session still stands is not asked here.

        Raises:
            AccessError: `not_authenticated`.
        """
        if self._generation != self._keys.generation:
            self._proven.clear()
            self._generation = self._keys.generation
        digest = digest_of(token)
        claims = self._proven.get(digest)
        if claims is None:
            claims = self._prove(token)
            # Only what was proven is remembered, so that sending garbage pushes nothing out.
            self._proven[digest] = claims
            if len(self._proven) > _REMEMBERED:
                self._proven.popitem(last=False)
        # The leeway is for a clock that was set back after the issue; an hour stays an hour.
        if claims.expires <= time.time():
            raise _refused()
        return claims

    def _prove(self, token: str) -> AccessClaims:
        refused = _refused()
        if len(token) > _LONGEST:
            raise refused
        try:
            key = self._keys.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise refused
            claims = self._jwt.decode(
                token,
                key,
                algorithms=["HS256"],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "sub", "sid", "jti", "typ", "iss", "aud"]},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise refused from error
        if claims["typ"] != "access" or not isinstance(claims["sid"], str):
            raise refused
        return AccessClaims(user_id=claims["sub"], session_id=claims["sid"], expires=int(claims["exp"]))


def _refused() -> AccessError:
    return AccessError("not_authenticated", "The access token is not valid.", "Sign in again.")


def new_opaque_token() -> str:
    """256 random bits as text. It means nothing by itself; only its digest is stored."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is stored in a token's place. A plain SHA-256 does for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
