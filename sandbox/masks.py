"""Hidden and protected paths inside a root: what stands over them.

    hidden, a folder     an empty read-only folder
    hidden, a file       an empty file nobody may read
    protected            itself, read-only
    missing              a placeholder is made in its place (the first missing part of the path), covered read-only, and
                         removed when the last call that needed it has ended
    a link               an empty file nobody may read: where it leads is not what was named, so it is not followed
    below a file         the file (`.git` of a worktree), read-only: else it could be replaced by a folder

A mount can be walked around by renaming a folder above it (`mv sub sub2; mkdir sub`), so every folder between the
root and the path is bound on itself: a mount point cannot be renamed from inside.

All of it is done when a call begins, in the sandbox that already stands (the spawner enters its mount namespace), and
never earlier: a mask over a file goes when the host replaces that file, so one that had been put there minutes ago
could be gone, and a placeholder must not stand in a folder where nothing runs.

First the roots are looked through in the host's namespace and placeholders are made; then everything is covered in the
sandbox, where each path must still be the very file that was found.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from toolhost.sandbox import kernel
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.namespaces import Namespaces
from toolhost.sandbox.placeholders import Placeholders, is_placeholder, is_readable
from toolhost.sandbox.plan import Root
from toolhost.sandbox.spares import Spares

__all__ = ["Masks", "masked_facts", "open_inside", "pin_folders"]

_AHEAD = 64  # descriptors
_SOON, _TRIES = 0.002, 50  # seconds, and how often, until another host's call has taken its placeholder away
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC


def open_inside(fd: int, path: str) -> int:
    """Open a path beneath `fd`, refusing every link but the last component, which is opened itself.

    One component at a time, and no link is followed: so nothing leads out (and `os.open` is quicker than openat2 here).
    """
    current = fd
    try:
        for part in path.split("/"):
            if part in ("", ".", ".."):
                raise OSError(errno.EINVAL, "not a plain path", path)
            nearer = os.open(part, _ITSELF, dir_fd=current)
            if current != fd:
                os.close(current)
            current = nearer
    except BaseException:
        if current != fd:
            os.close(current)
        raise
    return current


class Masks:
    """Covers paths in standing sandboxes.

    Args:
        namespaces: The spawner's.
        spares: Folder of the placeholders that are kept for later.
    """

    def __init__(self, namespaces: Namespaces, spares: str) -> None:
        self._namespaces = namespaces
        self._placeholders = Placeholders(Spares(spares))
        self._empties = _Empties()
        self._kept: dict[int, _Kept] = {}  # by call, of sandboxes that are used again

    def cover(self, call: int, sandbox: int, roots: Sequence[dict[str, Any]], *, again: bool) -> bool:
        """Cover what the roots of a call hide and protect.

        Args:
            call: The call's number.
            sandbox: Process id of the sandbox's pid 1, in which nothing of the call runs yet.
            roots: As the launch message describes them.
            again: Whether all of it will be undone, for another call in the same sandbox.

        Returns:
            Whether `uncover` has something to do.

        Raises:
            PlanRefused: A path is not one that can be covered.
            OSError: The sandbox is gone, or the kernel refused a mount.
        """
        entered = -1
        try:
            self._namespaces.to_host()
            surveys = _reachable(
                [(root, _look(root, roots, call, self._placeholders)) for root in roots if _masked(root)]
            )
            self._namespaces.to_slim()
            entered = os.open(f"/proc/{sandbox}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self._empties.make([step.how for _, steps in surveys for step in steps])
            kernel.setns(entered)
            # The outer first: what it pins is copied with the inner roots in it, and those are then found in the copy.
            for root, steps in surveys:
                _put(root, roots, steps, self._empties)
        except BaseException:
            self._namespaces.to_slim()
            self._placeholders.left = True
            self.release(call)
            raise
        finally:
            self._namespaces.to_slim()
            if entered >= 0:
                os.close(entered)
        if again:
            self._kept[call] = _Kept(roots, surveys)
        return again or self._placeholders.needed(call)

    def uncover(self, call: int, sandbox: int) -> None:
        """After a call: remove its mounts if its sandbox is used again, and its placeholders.

        In this order: a placeholder that is kept for later takes along what still stands over it.

        Args:
            call: The call's number.
            sandbox: As for `cover`; 0 where it has ended.

        Raises:
            PlanRefused: A root of the sandbox went away.
            OSError: The sandbox is gone, or the kernel refused.
        """
        kept = self._kept.pop(call, None)
        try:
            if kept is not None:
                self._lay_open(kept, sandbox)
        finally:
            self.release(call)

    def _lay_open(self, kept: _Kept, sandbox: int) -> None:
        entered = os.open(f"/proc/{sandbox}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.setns(entered)
            for root, steps in reversed(kept.surveys):
                _take_away(root, kept.roots, steps)
        finally:
            self._namespaces.to_slim()
            os.close(entered)

    def release(self, call: int) -> None:
        """Forget a call, and remove the placeholders that nobody else needs. `tidy` some time after."""
        self._kept.pop(call, None)
        self._placeholders.release(call)

    def tidy(self) -> None:
        """Do what nobody has to wait for. To be called in B."""
        self._placeholders.tidy()
        with contextlib.suppress(OSError):  # then the next call finds out, and is refused
            self._empties.make(self._empties.wanted)

    def close(self) -> bool:
        """Remove what is kept for later calls, after the last of them; whether a placeholder may stand all the same."""
        self._placeholders.close()
        return self._placeholders.left


@dataclass(frozen=True, slots=True)
class _Step:
    """One mount.

    Attributes:
        path: Relative to the root.
        how: `pin` binds a folder on itself, `itself` does so read-only, `folder` and `file` put an empty one over it.
        facts: Device and inode of what stands there.
    """

    path: str
    how: Literal["pin", "itself", "folder", "file"]
    facts: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What covers a sandbox that is used again."""

    roots: Sequence[dict[str, Any]]
    surveys: list[tuple[dict[str, Any], list[_Step]]]


class _Empties:
    """Detached mounts of the empty folder and file, made in B where those are; as many as last time are made ahead."""

    def __init__(self) -> None:
        self._trees: dict[str, list[int]] = {"folder": [], "file": []}
        self.wanted: Sequence[str] = ()

    def make(self, wanted: Sequence[str]) -> None:
        self.wanted = wanted[:_AHEAD]
        for how, trees in self._trees.items():
            count = wanted.count(how) - len(trees)
            if count <= 0:
                continue
            empty = os.open(f"/none/{how}", os.O_PATH | os.O_CLOEXEC)
            try:
                for _ in range(count):
                    trees.append(kernel.clone_tree(empty, _READ_ONLY))
            finally:
                os.close(empty)

    def take(self, how: str) -> int:
        return self._trees[how].pop()


def masked_facts(roots: Iterable[Root]) -> tuple[tuple[int, int] | None, ...]:
    """Device and inode of everything literal that the roots hide or protect, or None where nothing is.

    A mask goes when the host replaces the file beneath it. Who keeps a sandbox for later calls compares these.
    """
    found: list[tuple[int, int] | None] = []
    for root in roots:
        for path in (*root.hidden, *(root.protected if root.writable else ())):
            try:
                facts = os.lstat(f"{root.source}/{path}")
            except OSError:
                found.append(None)
                continue
            found.append(None if is_placeholder(facts.st_mode) else (facts.st_dev, facts.st_ino))
    return tuple(found)


# -- in the host's namespace -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Survey:
    """What has to be mounted in one root."""

    call: int
    placeholders: Placeholders
    writable: bool
    pinned: set[str]
    steps: list[_Step] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)  # something stands over these: nothing below can be reached

    def path(self, fd: int, path: str, *, hidden: bool) -> None:
        parts = path.strip("/").split("/")
        if not path.strip("/") or any(part in ("", ".", "..") for part in parts):
            raise PlanRefused(
                "mask_invalid", f"{path!r} is not a path inside a root.", "Write it relative to the root."
            )
        folder = fd
        done = ""
        try:
            for part in parts:
                done = f"{done}/{part}" if done else part
                if done in self.closed:
                    return
                here = self._step(folder, part, done, last=done == "/".join(parts), hidden=hidden)
                if here is None:
                    return
                if folder != fd:
                    os.close(folder)
                folder = here
        finally:
            if folder != fd:
                os.close(folder)

    def _step(self, folder: int, part: str, path: str, *, last: bool, hidden: bool) -> int | None:
        """Open a part of a path and note what to mount there; None where nothing below it is looked at."""
        for _ in range(_TRIES):
            try:
                here = self._open(folder, part)
                if here is None:
                    return None
                try:
                    if self._descend(here, folder, path, last=last, hidden=hidden):
                        return here
                except BaseException:
                    os.close(here)
                    raise
                os.close(here)
                return None
            except FileNotFoundError:
                time.sleep(_SOON)
        raise PlanRefused("mask_failed", f"{part} went away while it was being protected.", "Try again.")

    def _open(self, folder: int, part: str) -> int | None:
        """What stands there, or the placeholder made for it; None where there is nothing to cover."""
        try:
            return os.open(part, _ITSELF, dir_fd=folder)
        except NotADirectoryError:
            return None  # the root itself is a file
        except FileNotFoundError:
            if not (self.writable and self.placeholders.make(self.call, part, folder)):
                return None
        return os.open(part, _ITSELF, dir_fd=folder)

    def _descend(self, here: int, folder: int, path: str, *, last: bool, hidden: bool) -> bool:
        """Note what to mount at a part of a path; False where nothing below it is looked at."""
        facts = os.fstat(here)
        mode = facts.st_mode
        placeholder = is_placeholder(mode)
        if not last and stat.S_ISDIR(mode) and not placeholder:
            if self.writable and path not in self.pinned:
                self.pinned.add(path)
                self._note(path, "pin", facts)
            return True
        self.closed.add(path)
        if placeholder:  # ours, of a call that still runs, or of a host that was killed
            if not self.placeholders.hold(self.call, path.rpartition("/")[2], folder, facts):
                raise FileNotFoundError(errno.ENOENT, "a placeholder has gone", path)
            self._note(path, "folder" if stat.S_ISDIR(mode) else "itself" if is_readable(mode) else "file", facts)
        elif stat.S_ISDIR(mode):
            self._note(path, "folder" if hidden else "itself", facts)
        elif stat.S_ISREG(mode):
            self._note(path, "file" if hidden and last else "itself", facts)
        else:
            self._note(path, "file", facts)
        return False

    def _note(self, path: str, how: Literal["pin", "itself", "folder", "file"], facts: os.stat_result) -> None:
        self.steps.append(_Step(path, how, (facts.st_dev, facts.st_ino)))


def _masked(root: dict[str, Any]) -> bool:
    """Whether anything in a root is to be covered; in a read-only one everything is protected."""
    return bool(root["hidden"] or (root["writable"] and root["protected"]))


def _look(root: dict[str, Any], roots: Sequence[dict[str, Any]], call: int, placeholders: Placeholders) -> list[_Step]:
    """Look through a root, as the host sees it, and make the placeholders."""
    pinned = {
        "/".join(parts[:depth])
        for inner in roots
        if inner["within"] and roots[inner["within"][0]] is root
        for parts in [inner["within"][1].split("/")]
        for depth in range(1, len(parts))
    }
    survey = _Survey(call, placeholders, root["writable"], pinned)
    fd = open_without_links(root["source"])
    try:
        _check_same(fd, root)
        for path in root["hidden"]:
            survey.path(fd, path, hidden=True)
        if root["writable"]:
            for path in root["protected"]:
                survey.path(fd, path, hidden=False)
    finally:
        os.close(fd)
    return survey.steps


def _reachable(surveys: list[tuple[dict[str, Any], list[_Step]]]) -> list[tuple[dict[str, Any], list[_Step]]]:
    """Without what an outer root's mask already stands over: the same file may be hidden by two roots."""
    emptied: list[str] = []
    found = []
    for root, steps in surveys:
        places = {step: f"{root['target']}/{step.path}/" for step in steps}
        left = [step for step in steps if not any(places[step].startswith(place) for place in emptied)]
        emptied += [places[step] for step in left if step.how in ("folder", "file")]
        found.append((root, left))
    return found


# -- in the sandbox ----------------------------------------------------------------------------------------------------


def _put(root: dict[str, Any], roots: Sequence[dict[str, Any]], steps: list[_Step], empties: _Empties) -> None:
    if not steps:
        return
    standing = _standing(root, roots)
    try:
        for step in steps:
            point = open_inside(standing, step.path)
            try:
                facts = os.fstat(point)
                if (facts.st_dev, facts.st_ino) != step.facts:
                    raise PlanRefused("mask_failed", f"{step.path} changed while it was being covered.", "Try again.")
                if step.how in ("folder", "file"):
                    tree = empties.take(step.how)
                else:
                    attributes = 0 if step.how == "pin" else _READ_ONLY
                    tree = kernel.clone_tree(point, attributes, recursive=stat.S_ISDIR(facts.st_mode))
                _mount_on(point, tree)
            finally:
                os.close(point)
    except OSError as error:
        raise PlanRefused("mask_failed", f"A path of {root['source']} cannot be covered: {error.strerror}.") from error
    finally:
        os.close(standing)


def _take_away(root: dict[str, Any], roots: Sequence[dict[str, Any]], steps: list[_Step]) -> None:
    """Undo `_put`, the last mount first. One whose file was removed from outside has gone by itself."""
    standing = _standing(root, roots)
    try:
        for step in reversed(steps):
            folder, _, name = step.path.rpartition("/")
            try:
                parent = open_inside(standing, folder) if folder else os.dup(standing)
            except OSError:
                continue
            try:
                os.chdir(parent)
                kernel.detach(name)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
            finally:
                os.chdir("/")
                os.close(parent)
    finally:
        os.close(standing)


def _standing(root: dict[str, Any], roots: Sequence[dict[str, Any]]) -> int:
    """A root as it stands in the entered sandbox, and no other folder."""
    try:
        if root["within"]:
            outer = _standing(roots[root["within"][0]], roots)
            try:
                fd = open_inside(outer, root["within"][1])
            finally:
                os.close(outer)
        else:
            fd = os.open(root["target"], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PlanRefused("root_missing", f"The root {root['source']} went away.", "Try again.") from error
    try:
        _check_same(fd, root)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_same(fd: int, root: dict[str, Any]) -> None:
    facts = os.fstat(fd)
    if (facts.st_dev, facts.st_ino) != (root["device"], root["inode"]):
        raise PlanRefused("root_changed", f"The root {root['source']} is not what it was.", "Ask again.")


def pin_folders(fd: int, folders: str, pinned: set[str]) -> None:
    """Bind every folder of a path beneath `fd` on itself, so that none of them can be renamed from inside.

    Raises:
        OSError: A folder is missing, or a link.
    """
    done = ""
    for part in filter(None, folders.split("/")):
        done = f"{done}/{part}" if done else part
        if done in pinned:
            continue
        here = open_inside(fd, done)
        try:
            _mount_on(here, kernel.clone_tree(here, 0, recursive=True))
        finally:
            os.close(here)
        pinned.add(done)


def _mount_on(point: int, tree: int) -> None:
    try:
        kernel.attach_tree(tree, point)
    except OSError as error:
        raise PlanRefused("mask_failed", f"A path that must be covered cannot be: {error.strerror}.") from error
    finally:
        os.close(tree)
