"""Tokens: signed access tokens that live for an hour, opaque refresh tokens that live for a week, and the key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import jwt

from toolhost.errors import AccessError, MachineError

__all__ = [
    "ACCESS_SECONDS",
    "REFRESH_SECONDS",
    "AccessClaims",
    "AccessTokens",
    "digest_of",
    "load_key",
    "new_opaque_token",
]

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 7 * 24 * 3600

_ISSUER = "toolhost"
_AUDIENCE = "toolhost"
_LEEWAY = 5  # seconds that two clocks may differ
_LONGEST = 4096  # characters; ours are about 400
_KEY_BYTES = 32

_PLACEHOLDERS = ("changeme", "change-me", "change_me", "placeholder", "secret", "password", "example", "your-")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What a valid access token says: whose it is, of which session, and until when (seconds since the epoch)."""

    user_id: str
    session_id: str
    expires: int


class AccessTokens:
    """Signs and reads access tokens: JWT, HS256 and nothing else.

    Args:
        key: At least 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})

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
        return self._jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, token: str) -> AccessClaims:
        """The claims of a token that is ours, whole and in date. Whether its session still stands is not asked here.

        Raises:
            AccessError: `not_authenticated`.
        """
        refused = AccessError("not_authenticated", "The access token is not valid.", "Sign in again.")
        if len(token) > _LONGEST:
            raise refused
        try:
            claims = self._jwt.decode(
                token,
                self._key,
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


def new_opaque_token() -> str:
    """256 random bits as text. It means nothing by itself; only its digest is stored."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is stored in a token's place. A plain SHA-256 does for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def load_key(state: Path, given: str | None) -> bytes:
    """The signing key: the setting `jwt_secret_key` where it is set, else `state/jwt.key`, made once with mode 0600.

    Raises:
        MachineError: `secret_key_weak`, `secret_key_exposed`, `secret_key_unreadable`.
    """
    if given is not None:
        return _judged(given)
    path = state / "jwt.key"
    try:
        _create(path)
        mode = path.stat().st_mode
        key = base64.b64decode(path.read_bytes(), validate=False)
    except (OSError, binascii.Error) as error:
        raise MachineError(
            "secret_key_unreadable",
            f"The signing key {path} cannot be read: {error}.",
            "Give it to the user who runs toolhost, or delete it: a new one is made and everybody signs in again.",
        ) from error
    if mode & 0o077:
        raise MachineError(
            "secret_key_exposed",
            f"The signing key {path} can be read by other users.",
            f"Run: chmod 600 {path}. If somebody may have read it, delete it instead: a new one is made.",
        )
    if len(key) < _KEY_BYTES:
        raise MachineError(
            "secret_key_weak",
            f"The signing key {path} is shorter than {_KEY_BYTES} bytes.",
            "Delete it: a new one is made.",
        )
    return key


def _create(path: Path) -> None:
    # Written aside and linked into place: two processes that start together end with one whole key, never half of one.
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _judged(text: str) -> bytes:
    key = text.encode("utf-8", "surrogateescape")
    lowered = text.lower()
    if len(key) < _KEY_BYTES or len(set(key)) < 10 or any(word in lowered for word in _PLACEHOLDERS):
        raise MachineError(
            "secret_key_weak",
            f"JWT_SECRET_KEY is a placeholder or is not {_KEY_BYTES} random bytes.",
            "Set it to the output of `openssl rand -base64 32`, or unset it: a key is then made in the data folder.",
        )
    return key
