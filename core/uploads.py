"""Files that people put into a conversation's own workspace: beneath it, through no link, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import suppress

from toolhost.errors import AccessError, UsageError
from toolhost.host import Host
from toolhost.identifiers import new_id
from toolhost.model import Actor, ExternalContent
from toolhost.policy.taint import UPLOAD
from toolhost.sandbox.beneath import open_strictly_beneath, open_without_links
from toolhost.sandbox.collect import spelled

__all__ = ["LARGEST", "receive"]

LARGEST = 16 << 20
"""Bytes of the largest file that can be uploaded."""

_DEEPEST = 16
_NAME_BYTES = 255


async def receive(
    host: Host,
    actor: Actor,
    conversation_id: str,
    path: str,
    content: AsyncIterable[bytes],
    *,
    replace: bool,
    on_taint: Callable[[Sequence[ExternalContent]], None],
) -> int:
    """Write a file.

    Args:
        host: The host.
        actor: Whose conversation it is.
        conversation_id: The conversation; one with a workspace of its own.
        path: Relative to that workspace; folders that are missing are made.
        content: The file, piece by piece.
        replace: Whether a file of this name may be replaced.
        on_taint: Told what the conversation holds from elsewhere, where this upload is the first.

    Returns:
        How many bytes it has.

    Raises:
        UsageError: `upload_path_invalid`, `upload_exists`, `upload_too_large`, `conversation_not_found`.
        MachineError: `audit_unavailable` where it could not be recorded that content from elsewhere comes in.
        AccessError: `upload_not_allowed` in a named workspace, or where a link or a file stands in the way.
    """
    names = _names(path)
    folder, own = await host.conversation_workspace(conversation_id, actor)
    if not own:
        raise AccessError(
            "upload_not_allowed",
            "Nothing can be uploaded into a named workspace.",
            "Start a conversation with a folder of its own, or put the file there yourself.",
        )
    parent = _parent(str(folder), names[:-1])
    try:
        # Before a byte is there: what a file says can be anybody's, and a model that reads it may follow it.
        if await host.taints.mark_upload(conversation_id, actor.user_id):
            host.audit.write(
                "security",
                "conversation.tainted",
                {"tool": UPLOAD, "conversation_id": conversation_id, "origins": [UPLOAD]},
                actor=actor,
            )
            on_taint(await host.taints.of(actor.user_id, conversation_id))
        return await _write(parent, names[-1], content, replace)
    finally:
        os.close(parent)


def _names(path: str) -> list[str]:
    names = path.split("/")
    plain = all(
        name and name.isprintable() and not name.startswith(".") and len(name.encode("utf-8", "replace")) <= _NAME_BYTES
        for name in names
    )
    if not plain or len(names) > _DEEPEST or "\\" in path:
        # What begins with a dot is what programs obey without being asked: settings, hooks.
        raise UsageError(
            "upload_path_invalid",
            f"{spelled(path[:200])!r} cannot be the path of an upload.",
            "Use plain names; none may begin with a dot.",
        )
    return names


def _parent(folder: str, names: list[str]) -> int:
    """A descriptor of the folder a file goes into, each step opened beneath the one before, none through a link."""
    here = open_without_links(folder, os.O_PATH | os.O_DIRECTORY)
    for name in names:
        try:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=here)  # relative to a descriptor
            below = open_strictly_beneath(here, name, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            raise _in_the_way(name) from None
        finally:
            os.close(here)
        here = below
    return here


async def _write(parent: int, name: str, content: AsyncIterable[bytes], replace: bool) -> int:
    part = f".{new_id('up')}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(part, flags, 0o644, dir_fd=parent)
    size = 0
    try:
        try:
            async for piece in content:
                size += len(piece)
                if size > LARGEST:
                    raise UsageError(
                        "upload_too_large", f"The file is larger than {LARGEST} bytes.", "Put it there by other means."
                    )
                _all(fd, piece)
        finally:
            os.close(fd)
        try:
            if replace:
                os.rename(part, name, src_dir_fd=parent, dst_dir_fd=parent)  # a link is replaced
            else:
                os.link(part, name, src_dir_fd=parent, dst_dir_fd=parent)
                os.unlink(part, dir_fd=parent)
        except FileExistsError:
            raise UsageError(
                "upload_exists", f"There is a file {spelled(name)!r} already.", "Replace it, or choose another name."
            ) from None
        except OSError:
            raise _in_the_way(name) from None
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=parent)
        raise
    return size


def _all(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]


def _in_the_way(name: str) -> AccessError:
    return AccessError(
        "upload_not_allowed",
        f"{spelled(name)!r} is a link, a file where a folder should be, or a folder where a file should be.",
        "Choose another path.",
    )
