"""How much the writable roots of a call have grown, by real blocks.

A look asks the file systems first, which costs nothing: only where one of them has less room by more than the limit,
or after a while, are the roots themselves measured. Files that are deleted but still open are counted through the
processes that hold them. It is a watch, not a wall: what a call writes between two looks is written.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from toolhost.sandbox.beneath import open_strictly_beneath
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.mounts import open_root
from toolhost.sandbox.plan import Root

__all__ = ["Growth"]

_EVERY = 0.2  # seconds between looks at the file systems
_MEASURE = 2.0  # seconds after which the roots are measured in any case
_MOST = 200_000  # files and folders; measuring more takes longer than watching is worth
_BLOCK = 512  # of st_blocks, whatever the file system's own


class Growth:
    """The growth of some roots since `begin`."""

    def __init__(self, roots: list[_Held], limit: int) -> None:
        self._roots = roots
        self._limit = limit
        self._free = {root.device: _free(root.fd) for root in roots}
        self._pid = 0
        self._exceeded: Callable[[str], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._measuring: asyncio.Future[Any] | None = None  # by a thread, which uses the roots' descriptors

    @classmethod
    async def begin(cls, roots: Iterable[Root], limit: int) -> Growth:
        """Measure the writable ones of some roots.

        Args:
            roots: The roots of a plan.
            limit: Bytes by which they may grow together.

        Raises:
            PlanRefused: `limit_not_enforceable` where one has too many files to be watched, `descriptors_exhausted`, or
                as `open_root`.
        """
        held: list[_Held] = []
        try:
            for root in roots:
                if root.writable:
                    held.append(_Held(open_root(root.source, root.device, root.inode), root.device))
        except BaseException:
            for one in held:
                os.close(one.fd)
            raise
        growth = cls(held, limit)
        try:
            for one in held:
                growth._measuring = asyncio.ensure_future(asyncio.to_thread(_size, one.fd))
                one.before, one.closed = await asyncio.shield(growth._measuring)
        except BaseException:
            growth.close()
            raise
        return growth

    def watch(self, pid: int, exceeded: Callable[[str], None]) -> None:
        """Look regularly, and call back with `workspace` when the limit is exceeded.

        Args:
            pid: The sandbox's pid 1.
            exceeded: Called once.
        """
        self._pid = pid
        self._exceeded = exceeded
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def over(self) -> bool:
        """Whether the limit is exceeded now."""
        if self._measuring is not None and not self._measuring.done():
            await asyncio.wait((self._measuring,))
        self._measuring = asyncio.ensure_future(asyncio.to_thread(self._measure))
        grown: int = await asyncio.shield(self._measuring)
        return grown > self._limit

    def close(self) -> None:
        """Let go of the roots: when a thread that measures them is through with them."""
        self.stop()
        if self._measuring is None or self._measuring.done():
            self._release()
        else:
            self._measuring.add_done_callback(self._release)

    def _release(self, measured: asyncio.Future[Any] | None = None) -> None:
        if measured is not None and not measured.cancelled():
            measured.exception()  # it is nobody's any more
        for root in self._roots:
            os.close(root.fd)
        self._roots = []

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        measured = loop.time()
        while True:
            await asyncio.sleep(_EVERY)
            if self._gone() <= self._limit and loop.time() < measured + _MEASURE:
                continue
            if await self.over() and self._exceeded is not None:
                self._exceeded("workspace")
                return
            measured = loop.time()

    def _gone(self) -> int:
        """Bytes by which the file systems have less room than before, whoever took it."""
        now = {root.device: _free(root.fd) for root in self._roots}
        return sum(max(before - now[device], 0) for device, before in self._free.items())

    def _measure(self) -> int:
        try:
            return self._grown()
        except PlanRefused:  # it made more files, or deeper folders, than can be counted; or nothing can be opened
            return self._limit + 1

    def _grown(self) -> int:
        grown = 0
        for root in self._roots:
            size, closed = _size(root.fd)
            grown += size - root.before
            if closed > root.closed and self._gone() > self._limit:
                return self._limit + 1  # it closed folders to everybody, and the room went somewhere
        return grown + self._deleted({root.device for root in self._roots})

    def _deleted(self, devices: set[int]) -> int:
        """Bytes of files without a name that the sandbox's processes hold open on these devices."""
        found: dict[tuple[int, int], int] = {}
        for folder in _open_files(self._pid):
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        try:
                            facts = entry.stat()
                        except OSError:
                            continue
                        if facts.st_nlink == 0 and facts.st_dev in devices:
                            found[facts.st_dev, facts.st_ino] = facts.st_blocks * _BLOCK
            except OSError as error:
                _check_room(error)  # otherwise it has ended, or is none of ours to look into
        return sum(found.values())


@dataclass(slots=True)
class _Held:
    fd: int
    device: int
    before: int = 0
    closed: int = 0  # folders that could not be looked into


def _open_files(pid: int) -> Iterator[str]:
    """The folders with what each thread of a sandbox holds open: it may share that with none, and outlive the first.

    Args:
        pid: The sandbox's pid 1.
    """
    proc = f"/proc/{pid}/root/proc"
    for one in filter(str.isdigit, _names(proc)):
        yield from (f"{proc}/{one}/task/{thread}/fd" for thread in _names(f"{proc}/{one}/task"))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        _check_room(error)
        return []


def _free(fd: int) -> int:
    facts = os.fstatvfs(fd)
    return facts.f_bfree * facts.f_frsize


def _size(root: int) -> tuple[int, int]:
    """Bytes of everything in a folder by real blocks, each file once, and how many folders could not be looked into."""
    if not stat.S_ISDIR(os.fstat(root).st_mode):
        return os.fstat(root).st_blocks * _BLOCK, 0
    total = seen = closed = 0
    linked: set[int] = set()
    waiting = ["."]
    while waiting:
        folder = waiting.pop()
        try:
            fd = open_strictly_beneath(root, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise _uncountable("folders too deep") from None
            _check_room(error)
            closed += error.errno == errno.EACCES
            continue  # or gone since it was listed
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    seen += 1
                    if seen > _MOST:
                        raise _uncountable(f"more than {_MOST} files")
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    folder_too = stat.S_ISDIR(facts.st_mode)
                    if facts.st_nlink > 1 and not folder_too:
                        if facts.st_ino in linked:
                            continue
                        linked.add(facts.st_ino)
                    total += facts.st_blocks * _BLOCK
                    if folder_too:
                        waiting.append(f"{folder}/{entry.name}")
        except OSError as error:
            _check_room(error)
            raise _uncountable(f"a folder that cannot be listed ({error.strerror})") from None
        finally:
            os.close(fd)
    return total, closed


def _uncountable(what: str) -> PlanRefused:
    return PlanRefused(
        "limit_not_enforceable",
        f"A writable folder has {what}: its growth cannot be watched.",
        "Leave `workspace` out of the policy's limits, or use a smaller folder.",
    )


def _check_room(error: OSError) -> None:
    """Raise where no descriptor was left: what cannot be looked at has not stayed as it was."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise PlanRefused(
            "descriptors_exhausted",
            f"The growth of a writable folder cannot be watched: {error.strerror}.",
            "Raise the limit on open files.",
        ) from None
