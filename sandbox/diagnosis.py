"""Why a namespace or a sandbox cannot be made here, and the exact fix."""

from __future__ import annotations

import os
import sys

from toolhost.sandbox.errors import SandboxUnavailable

__all__ = ["ASK_DOCTOR", "fix_of", "namespace_refusal"]

ASK_DOCTOR = "Run `toolhost doctor`."
"""Where the cause is not known."""

_KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_ENOUGH = 15_000  # namespaces of a kind; a sandbox has one of each
_CONTAINER = "Start this container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined."


def _setting(path: str) -> str:
    try:
        with open(f"/proc/sys/{path}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def namespace_refusal(what: str) -> SandboxUnavailable:
    """The error for a spawner that could not make its namespaces.

    Args:
        what: The step that failed.
    """
    if _setting("user/max_user_namespaces") == "0":
        return SandboxUnavailable(
            "user_namespaces_off",
            "User namespaces are turned off (user.max_user_namespaces is 0).",
            "sysctl -w user.max_user_namespaces=15000",
        )
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return SandboxUnavailable(
            "user_namespaces_off",
            "User namespaces are kept from ordinary users (kernel.unprivileged_userns_clone is 0).",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        profile = f"abi <abi/4.0>, profile toolhost {os.path.realpath(sys.executable)} flags=(unconfined) {{ userns, }}"
        return SandboxUnavailable(
            "user_namespaces_restricted",
            "AppArmor keeps user namespaces from ordinary programs.",
            f"echo '{profile}' > /etc/apparmor.d/toolhost && apparmor_parser -r /etc/apparmor.d/toolhost "
            "(or, for every program, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0)",
        )
    return SandboxUnavailable("namespaces_failed", f"The spawner could not make its namespaces: {what}.", fix_of(what))


def fix_of(said: str) -> str:
    """What to do where a sandbox or its namespaces could not be made.

    Args:
        said: By whoever could not make it: the kernel, bubblewrap, or its launcher.
    """
    if "No space left on device" in said or "namespaces exceeded" in said:
        low = [kind for kind in _KINDS if _is_low(_setting(f"user/max_{kind}_namespaces"))]
        if low:
            return "sysctl -w " + " ".join(f"user.max_{kind}_namespaces={_ENOUGH}" for kind in low)
    if "mount proc" in said or ("Operation not permitted" in said and os.path.exists("/.dockerenv")):
        return _CONTAINER  # a part of /proc is covered, so that the kernel lets nobody have a whole one
    if "execvp" in said and "Permission denied" in said:
        return "Have the data directory on a file system that is not mounted noexec."
    if "execvp" in said:
        return "apt-get install --reinstall dash libc6"
    return ASK_DOCTOR


def _is_low(setting: str) -> bool:
    return setting.isdecimal() and int(setting) < _ENOUGH
