"""What must not be where other machines reach the server."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from toolhost.errors import UsageError
from toolhost.settings.table import Settings

__all__ = ["check_exposure", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether an address (or `localhost`) stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: Settings) -> None:
    """Refuse settings with which a server must not start.

    Raises:
        UsageError: `auth_not_optional`, `tls_incomplete`, `tls_unusable`, `bind_not_loopback`, `debug_exposed`.
    """
    if not settings.auth_enabled or settings.allow_anonymous:
        name = "allow_anonymous" if settings.auth_enabled else "auth_enabled"
        raise UsageError(
            "auth_not_optional",
            f"The setting {name} ({settings.origins[name]}) would let anybody run tools without signing in.",
            "Remove it. A program signs in with an API key.",
        )
    if (settings.certfile is None) != (settings.keyfile is None):
        there, missing = ("certfile", "keyfile") if settings.keyfile is None else ("keyfile", "certfile")
        raise UsageError(
            "tls_incomplete", f"TLS needs both files, and {there} is set without {missing}.", f"Set {missing}."
        )
    if settings.certfile is not None and settings.keyfile is not None:
        _check_certificate(settings.certfile, settings.keyfile)
    if is_loopback(settings.host):
        return
    if settings.certfile is None and not settings.trusted_proxies:
        raise UsageError(
            "bind_not_loopback",
            f"Listening on {settings.host} would offer plain HTTP to other machines.",
            "Listen on 127.0.0.1 behind a TLS proxy, set certfile and keyfile, or name the proxy in trusted_proxies.",
        )
    if settings.debug:
        raise UsageError(
            "debug_exposed",
            f"Debugging ({settings.origins['debug']}) is for this machine alone, and others reach {settings.host}.",
            "Switch debug off, or listen on 127.0.0.1.",
        )


def _check_certificate(certfile: Path, keyfile: Path) -> None:
    import ssl  # costs more than everything else here

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            "tls_unusable",
            f"The certificate {certfile} with the key {keyfile} cannot be used: {why}.",
            "Both must be PEM, belong together, have no passphrase, and be readable by the user who serves.",
        ) from None
