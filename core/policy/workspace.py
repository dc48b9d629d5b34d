"""Folders that somebody wants as the workspace of a call: whether they may have them, and if not, why."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from toolhost.errors import UsageError
from toolhost.policy.places import UnfitError
from toolhost.policy.policy_set import PolicySet
from toolhost.sandbox.beneath import open_without_links

__all__ = ["check_workspace"]


def check_workspace(path: Path, policies: PolicySet) -> None:
    """Check a folder somebody wants as the workspace of a call.

    Raises:
        UsageError: `workspace_not_allowed`, `workspace_not_accessible`.
    """
    text = str(path)
    if not text.startswith("/") or os.path.normpath(text) != text or not text.isprintable():
        raise _not_allowed(f"{text!a} is no plain absolute path.")
    try:
        policies.places.now().check(text, writable=True, allowed=policies.host.allowed)
    except UnfitError as unfit:
        raise _not_allowed(unfit.message) from None
    try:
        os.close(open_without_links(text, os.O_RDONLY | os.O_DIRECTORY))
    except OSError as error:
        raise _unusable(path, error) from None


def _not_allowed(message: str) -> UsageError:
    return UsageError("workspace_not_allowed", message, "Choose a folder of a project.")


def _unusable(path: Path, error: OSError) -> UsageError:
    quoted = shlex.quote(str(path))
    if error.errno == errno.ELOOP:
        return _not_allowed(f"{path} is or goes through a symbolic link; name the folder it leads to.")
    if error.errno == errno.ENOTDIR:
        return _not_allowed(f"{path} is not a folder.")
    if error.errno == errno.ENOENT:
        return UsageError("workspace_not_accessible", f"{path} does not exist.", f"Create it: mkdir -p {quoted}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(
            "workspace_not_accessible",
            f"The user who runs toolhost (uid {os.geteuid()}) cannot reach {path}.",
            f"Let it in: {_let_in(path)}",
        )
    return UsageError("workspace_not_accessible", f"{path} cannot be opened: {error.strerror}.")


def _let_in(path: Path) -> str:
    """The command that makes a folder reachable: passage through its parents, and the folder itself."""
    user = f"u:{os.geteuid()}"
    closed = [parent for parent in reversed(path.parents) if parent != Path("/") and not os.access(parent, os.X_OK)]
    passage = " ".join(shlex.quote(str(parent)) for parent in closed)
    through = f"setfacl -m {user}:x {passage} && " if passage else ""
    return f"{through}setfacl -R -m {user}:rwX -m d:{user}:rwX {shlex.quote(str(path))}"
