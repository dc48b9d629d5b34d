"""The system calls of namespaces and mounts that Python does not offer, by ctypes.

Only the spawner calls them, so every one raises `OSError` naming the call: a failed step refuses the launch.
Numbers are the same on every architecture (the calls were added after the tables were unified); flags are from
`linux/mount.h`, `linux/sched.h` and `linux/fcntl.h`.
"""

from __future__ import annotations

import ctypes
import os

__all__ = [
    "CLONE_NEWCGROUP",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MOUNT_ATTR_NODEV",
    "MOUNT_ATTR_NOEXEC",
    "MOUNT_ATTR_NOSUID",
    "MOUNT_ATTR_RDONLY",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "MS_SLAVE",
    "adopt_orphans",
    "attach_tree",
    "clone_tree",
    "detach",
    "mount",
    "move",
    "own_proc",
    "pivot_root",
    "set_name",
    "setns",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

_MNT_DETACH = 2
_RENAME_NOREPLACE = 1
_UMOUNT_NOFOLLOW = 8
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)
# pivot_root has no wrapper in glibc and is older than the unified numbers.
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}.get(os.uname().machine)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` (CLONE_NEW*) for new ones."""
    _checked(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = CLONE_NEWNS) -> None:
    """Enter the namespace behind `fd`; of a mount namespace, the working directory and root become its root."""
    _checked(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(result, f"mount {target}")


def detach(path: str) -> None:
    """Lazily unmount what is mounted at `path`: it leaves the tree now and goes when its last user does."""
    _checked(_libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW), f"umount {path}")


def move(old_folder: int, old: str, new_folder: int, new: str) -> None:
    """Rename a file or folder, relative to two descriptors; never over something (FileExistsError)."""
    names = os.fsencode(old), os.fsencode(new)
    _checked(_libc.renameat2(old_folder, names[0], new_folder, names[1], _RENAME_NOREPLACE), f"rename {old}")


def pivot_root(path: str) -> None:
    """Make the mount at `path` the root of this mount namespace and let go of the old root."""
    if _SYS_PIVOT_ROOT is None:
        raise OSError(f"pivot_root: unknown number on {os.uname().machine}")
    os.chdir(path)
    # "." twice stacks the old root on the new one, so no folder for it is needed (pivot_root(2), NOTES).
    _checked(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def clone_tree(fd: int, attributes: int, *, recursive: bool = False) -> int:
    """Copy the mount that `fd` stands on, as a detached bind of the file or folder behind `fd`.

    The copy is private: what the host mounts beneath it later does not appear in it, because such a mount would come
    without these attributes.

    Args:
        fd: O_PATH descriptor, opened in the current mount namespace.
        attributes: MOUNT_ATTR_* to set on the copy (on all of it, when recursive).
        recursive: Whether to copy the mounts beneath too.

    Returns:
        Descriptor of the detached tree; closing it without `attach_tree` undoes it.
    """
    depth = _AT_RECURSIVE if recursive else 0
    tree = _checked(
        _libc.syscall(_SYS_OPEN_TREE, fd, b"", _OPEN_TREE_CLONE | _AT_EMPTY_PATH | os.O_CLOEXEC | depth), "open_tree"
    )
    attr = _MountAttr(attributes, 0, MS_PRIVATE, 0)
    try:
        flags = _AT_EMPTY_PATH | depth
        result = _libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", flags, ctypes.byref(attr), ctypes.sizeof(attr))
        _checked(result, "mount_setattr")
    except OSError:
        os.close(tree)
        raise
    return tree


def attach_tree(tree: int, target: int) -> None:
    """Mount a detached tree on the file or folder behind `target` (a link itself, if opened O_NOFOLLOW)."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    _checked(_libc.syscall(_SYS_MOVE_MOUNT, tree, b"", target, b"", flags), "move_mount")


def own_proc() -> None:
    """Make /proc/self this process's own again: a process that was root and became a user may not write its maps."""
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """Name this process in `ps` and `top` (15 bytes)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
