"""Giving up root: started as uid 0, every command first becomes the service user, for good.

Nothing the host does needs root, and a sandbox made by host uid 0 is weaker: a set-uid file planted in a workspace
would belong to root, and RLIMIT_NPROC does not count for it. What only root can do is done before: making the service
user's data directory, and its folders in the hierarchies of cgroup v1.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import MutableMapping
from pathlib import Path

from toolhost.errors import MachineError
from toolhost.sandbox.cgroups import prepare as prepare_cgroups

__all__ = ["SERVICE_USER", "become_service_user"]

SERVICE_USER = "toolhost"

_CREATE_USER = (
    "useradd --system --user-group --no-create-home --home-dir /var/lib/toolhost --shell /usr/sbin/nologin toolhost"
)
_PR_SET_DUMPABLE = 4  # <linux/prctl.h>
# Folders and names of whoever called us: nothing of theirs is the service user's.
_CALLERS_OWN = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "MAIL")


def become_service_user(data: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Become the service user where the process is root; otherwise do nothing.

    Must be called before any thread exists: the kernel changes credentials one thread at a time.

    Args:
        data: The data directory, made and given to the service user where it is missing or empty.
        environ: The environment to clean of what belongs to the caller.

    Raises:
        MachineError: `service_user_missing` where there is no such user; `service_user_unusable` where root could not
            be given up entirely; `data_not_writable` where the data directory cannot be made.
    """
    if 0 not in os.getresuid():
        return
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise MachineError(
            "service_user_missing",
            f"Started as root, toolhost becomes the user {SERVICE_USER}, and there is no such user.",
            f"Create it: {_CREATE_USER}",
        ) from None
    if user.pw_uid == 0 or user.pw_gid == 0:
        raise MachineError(
            "service_user_unusable",
            f"The user {SERVICE_USER} has the uid or gid of root.",
            f"Remove it and create it anew: {_CREATE_USER}",
        )
    _give_data_directory(data, user)
    prepare_cgroups(user.pw_uid, user.pw_gid)

    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    _verify(user)
    os.umask(0o077)
    for name in _CALLERS_OWN:
        environ.pop(name, None)
    environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    # Changing credentials made /proc/self root's, and a process that may not write its own uid_map cannot make the
    # user namespaces of the sandboxes. No secret of root is in this memory: nothing was read as root but /etc/passwd.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _give_data_directory(data: Path, user: pwd.struct_passwd) -> None:
    """Make the data directory, or take over an empty one of root's. One that holds something is left as it is."""
    try:
        data.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        made = _make_folder(data)
        fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError(
            "data_not_writable",
            f"The data folder {data} cannot be made: {error.strerror}.",
            "Set TOOLHOST_DATA to a folder that can be written.",
        ) from error
    try:
        if made or (os.fstat(fd).st_uid == 0 and not os.listdir(fd)):  # noqa: PTH208 (a descriptor)
            os.fchown(fd, user.pw_uid, user.pw_gid)
    finally:
        os.close(fd)


def _make_folder(path: Path) -> bool:
    try:
        path.mkdir(mode=0o755)
    except FileExistsError:
        return False
    path.chmod(0o755)  # whatever the caller's umask: named workspaces and policies are read by other people
    return True


def _verify(user: pwd.struct_passwd) -> None:
    """Make sure that nothing of root is left, rather than trust that no call failed quietly."""
    left = []
    if set(os.getresuid()) != {user.pw_uid}:
        left.append("user id")
    if set(os.getresgid()) != {user.pw_gid} or 0 in os.getgroups():
        left.append("group id")
    status = Path("/proc/self/status").read_text()
    if any(int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("CapPrm:", "CapEff:"))):
        left.append("capabilities")
    if left:
        raise MachineError(
            "service_user_unusable",
            f"Becoming the user {SERVICE_USER} left root's {' and '.join(left)}.",
            "Start toolhost as that user instead, or without securebits that keep capabilities.",
        )
