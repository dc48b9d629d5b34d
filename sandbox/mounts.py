"""How the spawner turns the roots of a plan into mounts of its namespace B.

A root is opened in A (the host's mounts), without following a link in any component, compared with the device and
inode the plan names, cloned, given its flags, and mounted in B. From there on nobody but the spawner can change what
its path means. Three cases:

* plain roots are kept mounted at /roots/N for later calls, the least used unmounted first, and all of them when
  something is mounted or unmounted in A;
* a root with another root inside it is put together per call at /calls/N and taken away once the sandbox stands;
* the private /tmp is a tmpfs at /scratch/N, taken away likewise (the sandbox keeps its own reference).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from typing import Any

from toolhost.sandbox import kernel
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.errors import PlanRefused, SandboxUnavailable
from toolhost.sandbox.masks import Masks, open_inside, pin_folders
from toolhost.sandbox.namespaces import Namespaces

__all__ = ["Mounts", "facts_of", "open_root", "refusal"]

_KEPT = 32

_ROOT_ERRORS = {
    errno.ENOENT: ("root_missing", "does not exist"),
    errno.ENOTDIR: ("root_missing", "does not exist"),
    errno.ELOOP: ("root_is_link", "is a symbolic link, or lies under one"),
    errno.EACCES: ("root_not_accessible", "cannot be reached by the service user"),
    errno.EMFILE: ("descriptors_exhausted", "cannot be opened: the process has no descriptor left"),
    errno.ENFILE: ("descriptors_exhausted", "cannot be opened: the machine has no descriptor left"),
}


def refusal(source: str, error: OSError) -> PlanRefused:
    """The refusal for a root that cannot be opened."""
    code, what = _ROOT_ERRORS.get(error.errno or 0, ("root_missing", f"cannot be opened ({error.strerror})"))
    fix = "Name a folder's real path, without a link in it."
    if code == "root_not_accessible":
        fix = f"setfacl -m u:toolhost:rwx {source} (and x on every folder above it), or choose another folder."
    elif code == "descriptors_exhausted":
        fix = "Raise the limit on open files."
    return PlanRefused(code, f"The root {source} {what}.", fix)


def open_root(source: str, device: int, inode: int) -> int:
    """Open a root without links and make sure that it is the one the plan means.

    Returns:
        An O_PATH descriptor.

    Raises:
        PlanRefused: It is gone, a link, out of reach, or another file than the plan's.
    """
    try:
        fd = open_without_links(source)
    except OSError as error:
        raise refusal(source, error) from error
    facts = facts_of(source, fd)
    if (facts.st_dev, facts.st_ino) != (device, inode):
        os.close(fd)
        raise PlanRefused(
            "root_changed", f"The root {source} is not the folder it was when the call was decided.", "Ask again."
        )
    return fd


def facts_of(source: str, fd: int) -> os.stat_result:
    """The facts of a root that was opened; closed where there are none.

    Raises:
        PlanRefused: Its file system does not answer.
    """
    try:
        return os.fstat(fd)
    except OSError as error:
        os.close(fd)
        raise refusal(source, error) from error


class Mounts:
    """The mounts of B that come and go.

    Attributes:
        changes: A descriptor; where it is exceptional, `renew` is to be called.
    """

    def __init__(self, namespaces: Namespaces, spares: str) -> None:
        self._namespaces = namespaces
        self._kept: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._stale: set[str] = set()  # kept mounts that show what is not there any more
        self._busy: dict[int, list[str]] = {}  # mounts of one call
        self._launching: dict[int, set[str]] = {}  # kept mounts a sandbox in the making will still open by path
        self._next = 0
        self._scratch_size = 0
        self._scratch_ahead: tuple[int, str] | None = None  # bytes, and where it is mounted
        self.masks = Masks(namespaces, spares)
        self.changes = namespaces.mounted.fd

    def prepare(self, call: int, tool_root: str, scratch: int, roots: list[dict[str, Any]]) -> list[int]:
        """Mount what a call needs.

        Args:
            call: The call's number.
            tool_root: Name under /tool-roots.
            scratch: Bytes of the private /tmp.
            roots: As the launch message describes them.

        Returns:
            O_PATH descriptors in B: the tool root, /tmp, then every root that stands in no other.

        Raises:
            PlanRefused: A root or a path in it is not what the plan says.
            OSError: The kernel refused a mount.
        """
        if self._namespaces.mounted.look():
            self._let_go()
        self._busy[call] = []
        self._launching[call] = set()
        handed: list[int] = []  # to bubblewrap
        kept: list[int] = []  # roots within roots: mounted, not handed over
        placed: list[int] = []  # one per root
        try:
            handed.append(os.open(f"/tool-roots/{tool_root}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            handed.append(self._scratch(call, scratch))
            outer = {one["within"][0] for one in roots if one["within"]}
            pinned: list[set[str]] = [set() for _ in roots]
            for number, root in enumerate(roots):
                if root["within"]:
                    placed.append(self._inside(root, roots, placed, pinned))
                    kept.append(placed[-1])
                    continue
                if number in outer:
                    placed.append(self._composed(call, root))
                else:
                    placed.append(self._plain(call, root))
                handed.append(placed[-1])
        except BaseException:
            for fd in handed:
                os.close(fd)
            self.settle(call)
            raise
        finally:
            for fd in kept:
                os.close(fd)
        return handed

    def settle(self, call: int) -> None:
        """Take away what only the making of this sandbox needed: it has its own references now."""
        self._launching.pop(call, None)
        for path in self._busy.pop(call, ()):
            _unmount(path)
        self._unmount_stale()

    def renew(self) -> None:
        """Something was mounted or unmounted in A: keep no mount that may show what was there before."""
        self._namespaces.mounted.read()
        self._let_go()

    def _let_go(self) -> None:
        self._stale.update(self._kept.values())
        self._kept.clear()
        self._unmount_stale()

    def _unmount_stale(self) -> None:
        needed = set().union(*self._launching.values())
        for path in self._stale - needed:
            self._stale.discard(path)
            _unmount(path)

    def make_ahead(self) -> None:
        """Have a private /tmp ready for the next sandbox, of the size that the last one had."""
        if self._scratch_ahead is None:
            with contextlib.suppress(OSError):  # whoever needs it then will be told
                self._scratch_ahead = self._scratch_size, self._new_scratch(self._scratch_size)

    def _scratch(self, call: int, size: int) -> int:
        self._scratch_size = size
        ahead, self._scratch_ahead = self._scratch_ahead, None
        if ahead is not None and ahead[0] != size:
            _unmount(ahead[1])
            ahead = None
        path = ahead[1] if ahead is not None else self._new_scratch(size)
        self._busy[call].append(path)
        return os.open(path, os.O_PATH | os.O_CLOEXEC)

    def _new_scratch(self, size: int) -> str:
        self._next += 1
        path = f"/scratch/{self._next}"
        os.mkdir(path)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        # Inodes cost kernel memory that `size` does not count.
        try:
            kernel.mount("scratch", path, "tmpfs", flags, f"size={size},nr_inodes={max(size >> 12, 256)},mode=1777")
        except OSError:
            os.rmdir(path)
            raise
        return path

    def _tree(self, root: dict[str, Any]) -> tuple[int, bool]:
        """A detached mount of a root with its flags, and whether it is a folder. Leaves the process in B."""
        self._namespaces.to_host()
        try:
            fd = open_root(root["source"], root["device"], root["inode"])
            try:
                seen = self._namespaces.mounted.beneath(root["source"], writable=root["writable"])
                if list(seen) != root["mounted"][1]:
                    raise PlanRefused(
                        "root_changed",
                        f"What is mounted in the root {root['source']} is not what the spawner sees there.",
                        "Ask again; if it stays so, restart the host.",
                    )
                folder = stat.S_ISDIR(os.fstat(fd).st_mode)
                return _clone(fd, _attributes(root), recursive=bool(root["mounted"][1])), folder
            finally:
                os.close(fd)
        finally:
            self._namespaces.to_slim()

    def _plain(self, call: int, root: dict[str, Any]) -> int:
        key = (root["device"], root["inode"], _attributes(root), root["mounted"][0])
        path = self._kept.get(key)
        if path is None:
            self._next += 1
            path = f"/roots/{self._next}"
            os.close(self._attach(root, path))
            self._kept[key] = path
            self._evict()
        self._kept.move_to_end(key)
        self._launching[call].add(path)
        return os.open(path, os.O_PATH | os.O_CLOEXEC)

    def _evict(self) -> None:
        needed = set().union(*self._launching.values())
        for key, path in list(self._kept.items())[:-1]:
            if len(self._kept) <= _KEPT:
                return
            if path not in needed:
                del self._kept[key]
                _unmount(path)

    def _composed(self, call: int, root: dict[str, Any]) -> int:
        self._next += 1
        path = f"/calls/{self._next}"
        self._busy[call].append(path)
        return self._attach(root, path)

    def _attach(self, root: dict[str, Any], path: str) -> int:
        tree, folder = self._tree(root)
        try:
            if folder:
                os.mkdir(path)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400))
            point = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                kernel.attach_tree(tree, point)
            finally:
                os.close(point)
        finally:
            os.close(tree)
        return os.open(path, os.O_PATH | os.O_CLOEXEC)

    def _inside(
        self, root: dict[str, Any], roots: list[dict[str, Any]], placed: list[int], pinned: list[set[str]]
    ) -> int:
        """Mount a root that stands inside another, on that other's descriptor."""
        outer, path = root["within"]
        tree, _ = self._tree(root)
        try:
            if roots[outer]["writable"]:
                # Otherwise `mv` of a folder above would leave what is mounted here uncovered for the next call.
                pin_folders(placed[outer], os.path.dirname(path), pinned[outer])
            point = open_inside(placed[outer], path)
            try:
                kernel.attach_tree(tree, point)
            finally:
                os.close(point)
            return open_inside(placed[outer], path)
        except OSError as error:
            raise PlanRefused(
                "root_target_missing", f"{root['target']} is not in the root that holds it.", "Make that folder first."
            ) from error
        finally:
            os.close(tree)


def _unmount(path: str) -> None:
    try:
        kernel.detach(path)
        if os.path.isdir(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    except OSError:
        return  # it was never mounted: the launch failed before


def _attributes(root: dict[str, Any]) -> int:
    made = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    if not root["executable"]:
        made |= kernel.MOUNT_ATTR_NOEXEC
    if not root["writable"]:
        made |= kernel.MOUNT_ATTR_RDONLY
    return made


def _clone(fd: int, attributes: int, *, recursive: bool) -> int:
    try:
        return kernel.clone_tree(fd, attributes, recursive=recursive)
    except OSError as error:
        raise SandboxUnavailable("mount_refused", f"A root cannot be mounted: {error.strerror}.") from error
