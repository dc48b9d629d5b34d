"""The spawner's namespaces, made once at its start.

Two mount namespaces, in a user namespace of the spawner's own:

    A   a copy of the host's mounts: here the source of a root means what it means on the host
    B   a small one, in which every bubblewrap starts (bubblewrap reads the whole mount table after every bind, so a
        long host table makes it slow), with the roots already mounted nosuid, nodev, noexec

    B:  /usr (read-only), links beside it    what bubblewrap itself loads
        /proc                                a fully visible one must be there for a sandbox to mount its own
        /box/dev                             the device nodes of every sandbox
        /none/folder, /none/file             empty: what stands over a hidden path
        /tool-roots                          read-only
        /roots/N, /calls/N, /scratch/N       mounted and unmounted as calls come and go
        /tmp                                 bubblewrap builds each sandbox on it, in its own namespace

The network namespace is new and empty, and its loopback is down.
"""

from __future__ import annotations

import os

from toolhost.sandbox import kernel
from toolhost.sandbox.mounted import MountTable

__all__ = ["Namespaces", "enter"]

_NODES = ("null", "zero", "full", "random", "urandom")
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Namespaces:
    """Descriptors of A and B; the process is always in one of them.

    Attributes:
        mounted: The mounts of A.
    """

    def __init__(self, host: int, slim: int, mounted: MountTable) -> None:
        self.mounted = mounted
        self._host = host
        self._slim = slim

    def to_host(self) -> None:
        """Enter A."""
        kernel.setns(self._host)

    def to_slim(self) -> None:
        """Enter B.

        Raises:
            RuntimeError: The way back is barred. The process is then of no use: it would look elsewhere for everything.
        """
        try:
            kernel.setns(self._slim)
        except OSError as error:
            raise RuntimeError("the spawner's own mounts cannot be entered again") from error


def enter(tool_roots: str) -> Namespaces:
    """Leave the host's namespaces; afterwards the process is in B.

    Args:
        tool_roots: Host folder of the tool roots.

    Raises:
        OSError: A step failed; the process is then of no use.
    """
    uid, gid = os.getuid(), os.getgid()
    kernel.own_proc()
    kernel.unshare(kernel.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")  # without it an unprivileged process may not map a group
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
    kernel.mount("none", "/", None, kernel.MS_SLAVE | kernel.MS_REC)
    host = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    mounted = MountTable()
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_PRIVATE | kernel.MS_REC)
    _build(tool_roots)
    slim = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    return Namespaces(host, slim, mounted)


def _build(tool_roots: str) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    # Any folder will do to build on; the mount on it is seen by this namespace alone.
    base = tool_roots
    source = os.open(tool_roots, os.O_PATH | os.O_CLOEXEC)
    attributes = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    trees = kernel.clone_tree(source, attributes)
    kernel.mount("toolhost", base, "tmpfs", flags | kernel.MS_NOEXEC, "size=4m,mode=0755")
    for folder in ("usr", "proc", "box/dev", "none/folder", "tool-roots", "roots", "calls", "scratch", "tmp"):
        os.makedirs(f"{base}/{folder}")
    for name in _TOP:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{base}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{base}/{name}")
            _bind(f"/{name}", f"{base}/{name}", kernel.MOUNT_ATTR_RDONLY)
    _bind("/usr", f"{base}/usr", kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID)
    _bind("/proc", f"{base}/proc", 0)
    _devices(f"{base}/box/dev")
    os.close(os.open(f"{base}/none/file", os.O_CREAT | os.O_WRONLY, 0))
    os.chmod(f"{base}/none/folder", 0o500)
    target = os.open(f"{base}/tool-roots", os.O_PATH | os.O_CLOEXEC)
    kernel.attach_tree(trees, target)
    for fd in (source, trees, target):
        os.close(fd)
    kernel.pivot_root(base)


def _devices(folder: str) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("toolhost", folder, "tmpfs", flags, "size=64k,mode=0755")
    for name in _NODES:
        os.close(os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        kernel.mount(f"/dev/{name}", f"{folder}/{name}", None, kernel.MS_BIND)
    os.symlink("/tmp", f"{folder}/shm")  # noqa: S108
    os.symlink("/proc/self/fd", f"{folder}/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{folder}/{name}")
    kernel.mount("none", folder, None, kernel.MS_REMOUNT | kernel.MS_RDONLY | flags, "size=64k,mode=0755")


def _bind(source: str, target: str, attributes: int) -> None:
    opened = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (source, target)]
    tree = kernel.clone_tree(opened[0], attributes, recursive=True)
    kernel.attach_tree(tree, opened[1])
    for fd in (tree, *opened):
        os.close(fd)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
