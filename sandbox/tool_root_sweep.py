"""Clearing out tool roots: trees that no process uses, blobs that no tree links to, and what was left half-made.

Who makes or looks up a tree holds `lock` shared; who clears out holds it alone, so nothing is being made then. Who uses
a tree, in a sandbox or for the next one, holds a shared lock on the tree's own folder for as long as that may be.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator

from toolhost.sandbox.removal import remove_tree

__all__ = ["hold", "sweep", "undisturbed"]

_MOST = 128  # trees
_AGE = 30 * 24 * 3600.0  # seconds since a host last began to use it
_EVERY = 24 * 3600.0  # seconds between looks at the age of trees, which means to read what is known of each


@contextlib.contextmanager
def undisturbed(folder: str) -> Iterator[None]:
    """Keep everybody from clearing out while something is made."""
    fd = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def hold(tree: str) -> int:
    """Keep a tree from being cleared out, until the descriptor returned is closed.

    Raises:
        OSError: There is no such tree.
    """
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sweep(folder: str, *, most: int = _MOST, age: float = _AGE) -> None:
    """Clear out, unless somebody makes a tree at this moment.

    What is half-made goes every time; trees and blobs once a day, or when there are too many trees.

    Args:
        folder: The tool roots' folder.
        most: Trees to keep, those used last.
        age: Seconds after which an unused tree goes in any case.

    Raises:
        OSError: Something cannot be removed.
    """
    fd = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _half_made(folder)
            since = time.time() - os.fstat(fd).st_mtime
            if since >= min(age, _EVERY) or len(os.listdir(f"{folder}/trees")) > most:
                _trees(folder, most, age)
                _blobs(folder)
                os.utime(fd)
    finally:
        os.close(fd)


def _half_made(folder: str) -> None:
    trees = os.open(f"{folder}/trees", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(trees):
            if name.startswith("."):
                remove_tree(trees, name)
    finally:
        os.close(trees)
    for place in ("blobs", "index"):
        for name in os.listdir(f"{folder}/{place}"):
            if name.rpartition(".")[2].isdigit():  # the number of the process that was writing it
                os.unlink(f"{folder}/{place}/{name}")


def _trees(folder: str, most: int, age: float) -> None:
    used: dict[str, float] = {}
    indexes: dict[str, list[str]] = {}
    for name in os.listdir(f"{folder}/index"):
        path = f"{folder}/index/{name}"
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                tree = os.path.basename(str(json.load(file)["tree"]))
            used[tree] = max(used.get(tree, 0.0), os.stat(path).st_mtime)
        except (OSError, ValueError, KeyError, TypeError):
            os.unlink(path)
            continue
        indexes.setdefault(tree, []).append(path)
    there = sorted(os.listdir(f"{folder}/trees"), key=lambda tree: used.get(tree, 0.0), reverse=True)
    oldest = time.time() - age
    for number, tree in enumerate(there):
        if number >= most or used.get(tree, 0.0) < oldest:
            _remove(folder, tree, indexes.get(tree, []))


def _remove(folder: str, tree: str, indexes: list[str]) -> None:
    trees = os.open(f"{folder}/trees", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=trees)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it is in use
        finally:
            os.close(lock)
        for index in indexes:
            os.unlink(index)
        os.rename(tree, f".dead-{tree}", src_dir_fd=trees, dst_dir_fd=trees)
        remove_tree(trees, f".dead-{tree}")
    finally:
        os.close(trees)


def _blobs(folder: str) -> None:
    with os.scandir(f"{folder}/blobs") as blobs:
        for blob in blobs:
            if blob.stat(follow_symlinks=False).st_nlink == 1:
                os.unlink(blob.path)
