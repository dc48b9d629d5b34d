"""What well-known programs need beside their libraries. A policy adds its own with `support = [...]`.

Each entry is small on purpose: a program that lies in a support folder exists inside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from toolhost.sandbox.plan import Program

__all__ = ["LEFT_OUT", "support_of"]

# Parts of Python's library that a tool has no use for: its own tests, its editor, the interpreter to link against.
LEFT_OUT = frozenset(
    {"test", "tests", "idlelib", "turtledemo", "tkinter", "lib2to3", "ensurepip", "config-3", "dist-packages"}
)

# Certificates and the rules for using them, where OpenSSL, GnuTLS and the languages look: Debian, Fedora, Alpine.
_NETWORK = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/usr/lib/ssl/cert.pem",
    "/usr/lib/ssl/certs",
    "/usr/lib/ssl/openssl.cnf",
)
_NETWORK_DATA = {"git": ("/usr/lib/git-core/git-remote-http", "/usr/lib/git-core/git-remote-https")}
_DATA = {
    "git": ("/usr/share/git-core/templates", "/usr/lib/git-core/git"),
    "file": ("/usr/share/misc/magic.mgc", "/usr/lib/file/magic.mgc"),
    "perl": ("/usr/lib/x86_64-linux-gnu/perl-base", "/usr/lib/aarch64-linux-gnu/perl-base"),
}
_PYTHON = re.compile(r"python(3\.\d+)$")


def support_of(programs: Iterable[Program], *, network: bool) -> list[str]:
    """Host files and folders that come with the programs; one that is not installed is left out."""
    found: list[str] = []
    for program in programs:
        name = os.path.basename(program.target)
        found += _DATA.get(name, ())
        if network:
            found += _NETWORK_DATA.get(name, ())
        if python := _PYTHON.match(name):
            found += (f"/usr/lib/python{python[1]}", f"/usr/local/lib/python{python[1]}")
    if network:
        found += _NETWORK
    return [path for path in dict.fromkeys(found) if os.path.exists(path)]
