"""Why a namespace cannot be made here, and the exact fix."""

from __future__ import annotations

import os
import sys

from toolhost.sandbox.errors import SandboxUnavailable

__all__ = ["namespace_refusal"]


def _setting(path: str) -> str:
    try:
        with open(f"/proc/sys/{path}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def namespace_refusal(number: int, what: str) -> SandboxUnavailable:
    """The error for a spawner that could not make its namespaces.

    Args:
        number: errno, or 0.
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
    where = (
        " (this looks like a container: run it with user namespaces allowed)" if os.path.exists("/.dockerenv") else ""
    )
    text = f"{what}" if number else what
    return SandboxUnavailable(
        "namespaces_failed", f"The spawner could not make its namespaces: {text}{where}.", "Run `toolhost doctor`."
    )
