"""The keys that access tokens are signed with: the current one, and the one before it while its tokens live."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import time
from pathlib import Path

from toolhost.accounts.common import is_guessable
from toolhost.errors import MachineError, UsageError

__all__ = ["SigningKeys", "load_secret"]

_KEY_BYTES = 32
_GRACE_SECONDS = 3600 + 60  # the life of an access token, and a minute for clocks
_PLACEHOLDERS = ("changeme", "replaceme", "placeholder", "secret", "password", "example")
_BETWEEN = re.compile(r"[\W_]+")


class SigningKeys:
    """The keys in force, each under its `kid`.

    Args:
        current: At least 32 bytes.
        previous: The one before, and until when it counts (seconds since the epoch): while its tokens may be about.
        state: The folder the keys were read from; None for keys that are given and cannot be rotated here.

    Attributes:
        kid: Of the current key.
    """

    def __init__(self, current: bytes, previous: tuple[bytes, int] | None = None, *, state: Path | None = None) -> None:
        self._state = state
        self._generation = 0
        self._take(current, previous)

    @classmethod
    def load(cls, state: Path, given: str | None) -> SigningKeys:
        """The setting `jwt_secret_key` where it is set, else `state/jwt.key`, made once with mode 0600.

        Raises:
            MachineError: `secret_key_weak`, `secret_key_exposed`, `secret_key_unreadable`.
        """
        if given is not None:
            return cls(_judged(given))
        return cls(load_secret(state / "jwt.key"), _previous(state), state=state)

    @property
    def current(self) -> bytes:
        """The key that signs."""
        return self._keys[self.kid]

    @property
    def generation(self) -> int:
        """Grows each time that the keys are others. Asked before a token is believed: it ends the old key in time."""
        if self._until is not None and time.time() >= self._until:
            self._take(self.current, None)
        return self._generation

    def key(self, kid: object) -> bytes | None:
        """The key of this id, or None."""
        return self._keys.get(kid) if isinstance(kid, str) else None

    def reload(self) -> None:
        """Read the files again: another process may have rotated them.

        Raises:
            MachineError: As `load`; the keys stay as they are.
        """
        if self._state is not None:
            self._take(load_secret(self._state / "jwt.key"), _previous(self._state))

    def rotate(self) -> str:
        """Sign with a new key from now on; the old one is accepted until its tokens have run out. Returns the new kid.

        Raises:
            UsageError: `secret_key_given` where the key comes from the environment.
        """
        if self._state is None:
            raise UsageError(
                "secret_key_given",
                "The signing key is given by JWT_SECRET_KEY and cannot be rotated here.",
                "Change the variable and start the server again: sessions stay, and pages renew their tokens.",
            )
        old, until = base64.b64encode(self.current).decode(), int(time.time()) + _GRACE_SECONDS
        _replace(self._state / "jwt.previous.key", f"{old}\n{until}\n")
        _replace(self._state / "jwt.key", base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
        self.reload()
        return self.kid

    def _take(self, current: bytes, previous: tuple[bytes, int] | None) -> None:
        self._generation += 1
        self.kid = _kid(current)
        old = {} if previous is None else {_kid(previous[0]): previous[0]}
        self._keys = {**old, self.kid: current}
        self._until = None if previous is None else previous[1]


def load_secret(path: Path) -> bytes:
    """A secret of 32 random bytes in a file, made with mode 0600 where there is none.

    Raises:
        MachineError: `secret_key_weak`, `secret_key_exposed`, `secret_key_unreadable`.
    """
    try:
        _create(path)
        mode = path.stat().st_mode
        key = base64.b64decode(path.read_bytes(), validate=False)
    except (OSError, binascii.Error) as error:
        raise MachineError(
            "secret_key_unreadable",
            f"The key {path} cannot be read: {error}.",
            "Give it to the user who runs toolhost, or delete it: a new one is made and everybody signs in again.",
        ) from error
    if mode & 0o077:
        raise MachineError(
            "secret_key_exposed",
            f"The key {path} can be read by other users.",
            f"Run: chmod 600 {path}. If somebody may have read it, delete it instead: a new one is made.",
        )
    if len(key) < _KEY_BYTES:
        raise MachineError(
            "secret_key_weak", f"The key {path} is shorter than {_KEY_BYTES} bytes.", "Delete it: a new one is made."
        )
    return key


def _previous(state: Path) -> tuple[bytes, int] | None:
    try:
        key, until = (state / "jwt.previous.key").read_text().split()
        return (base64.b64decode(key), int(until)) if int(until) > time.time() else None
    except (OSError, ValueError):
        return None  # none, or not whole: then its tokens are not accepted, which is the safe side


def _kid(key: bytes) -> str:
    return hashlib.sha256(b"kid\0" + key).hexdigest()[:12]


def _create(path: Path) -> None:
    # Written aside and linked into place: two processes that start together end with one whole key, never half of one.
    if path.exists():
        return
    draft = _draft(path, base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _replace(path: Path, text: str) -> None:
    _draft(path, text).replace(path)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _judged(text: str) -> bytes:
    key = text.encode("utf-8", "surrogateescape")
    words = _BETWEEN.sub("", text.lower())
    weak = len(key) < _KEY_BYTES or len(set(key)) < 10 or is_guessable(text, "")
    if weak or words.startswith("your") or any(word in words for word in _PLACEHOLDERS):
        raise MachineError(
            "secret_key_weak",
            f"JWT_SECRET_KEY is a placeholder or is not {_KEY_BYTES} random bytes.",
            "Set it to the output of `openssl rand -base64 32`, or unset it: a key is then made in the data folder.",
        )
    return key
