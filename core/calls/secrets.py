"""What the secrets of a call hold: read when it begins, for it alone, and forgotten after it.

Whatever is wrong with one, nothing runs: the caller hears which secret it is and who can put it right, and the host's
log says nothing that the secret holds.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping

from toolhost.errors import MachineError
from toolhost.policy import SecretSource
from toolhost.redaction import SHORTEST
from toolhost.sandbox.beneath import open_without_links

__all__ = ["read_secrets"]

_LONGEST = 16 << 10  # bytes
_OTHERS = {"file": 0o027, "credential": 0o007}  # systemd lets its service in by an access list, which shows as a group
_CREDENTIALS = "CREDENTIALS_DIRECTORY"


def read_secrets(sources: Iterable[SecretSource]) -> Mapping[str, bytes]:
    """What each secret holds, by name. A file of at most 16 KiB is read in one go, which takes microseconds.

    Raises:
        MachineError: `secret_unavailable`.
    """
    return {source.name: _checked(source) for source in sources}


def _checked(source: SecretSource) -> bytes:
    value = _from_environment(source) if source.kind == "env" else _from_file(source)
    if len(value) > _LONGEST:
        raise _unavailable(source, f"holds more than {_LONGEST >> 10} KiB")
    if not value.strip():
        raise _unavailable(source, "is empty")
    if len(value.strip()) < SHORTEST:
        raise _unavailable(
            source, f"has less than {SHORTEST} bytes, too few to be told from other text in what is said"
        )
    return value


def _from_environment(source: SecretSource) -> bytes:
    value = os.environb.get(os.fsencode(source.where))
    if value is None:
        raise _unavailable(source, "is not set", f"Start the host with the variable {source.where}.")
    return value


def _from_file(source: SecretSource) -> bytes:
    path = source.where
    if source.kind == "credential":
        folder = os.environ.get(_CREDENTIALS, "")
        if not folder.startswith("/"):
            fix = f"Add LoadCredential={source.where}:/path to the host's unit."
            raise _unavailable(source, "is not there: systemd has handed over no credentials", fix)
        path = f"{folder}/{source.where}"
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        fd = open_without_links(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _unavailable(source, _REASONS.get(error.errno or 0, f"cannot be opened: {error.strerror}")) from None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise _unavailable(source, "is not a regular file")
        if facts.st_mode & _OTHERS[source.kind] or facts.st_uid not in (0, os.geteuid()):
            fix = f"Run as root: chown root:{os.getegid()} {path}; chmod 640 {path}"
            raise _unavailable(source, "can be read or changed by others than root and the host's user", fix)
        return os.read(fd, _LONGEST + 1)
    except OSError as error:
        raise _unavailable(source, f"cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)


_REASONS = {
    errno.ENOENT: "does not exist",
    errno.ELOOP: "is a link, or lies behind one",
    errno.EACCES: "cannot be read by the user who runs the host",
}


def _unavailable(source: SecretSource, what: str, fix: str = "") -> MachineError:
    of = {"env": "the variable", "file": "the file", "credential": "the credential"}[source.kind]
    return MachineError(
        "secret_unavailable",
        f"The secret {source.name!r} cannot be used: {of} {source.where} {what}.",
        fix or f"An administrator puts it right, or corrects [secrets] in {source.place.file}.",
    )
