"""Files of a conversation's own workspace, for the person it belongs to."""

from __future__ import annotations

import asyncio
import os

from toolhost.errors import AccessError
from toolhost.host import Host
from toolhost.model import Actor
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.collect import CollectRefused, open_collected, read_collected

__all__ = ["LARGEST", "open_download", "read_own"]

LARGEST = 64 << 20
"""Bytes of the largest file that can be downloaded."""


async def open_download(host: Host, actor: Actor, conversation_id: str, path: str) -> tuple[int, int]:
    """Open a file that the tools of a conversation wrote.

    Args:
        host: The host.
        actor: Who asks; only the conversation's owner gets anything.
        conversation_id: The conversation.
        path: Relative to its workspace.

    Returns:
        A descriptor the caller closes, and the file's size in bytes.

    Raises:
        UsageError: `conversation_not_found`.
        AccessError: `download_not_allowed` in a named workspace, which holds what no tool was ever granted.
        CollectRefused: The file is not there, or not one that the host touches.
    """
    folder, own = await host.conversation_workspace(conversation_id, actor)
    if not own:
        raise AccessError(
            "download_not_allowed",
            "Files of a named workspace cannot be downloaded here.",
            "Have a tool read the file, or copy it into a conversation with a workspace of its own.",
        )
    return await asyncio.to_thread(_open, str(folder), path)


def _open(folder: str, path: str) -> tuple[int, int]:
    try:
        root = open_without_links(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        raise CollectRefused("file_not_found", "This conversation has no files yet.") from None
    try:
        fd = open_collected(root, path, LARGEST)
    finally:
        os.close(root)
    return fd, os.fstat(fd).st_size


def read_own(host: Host, actor: Actor, path: str, largest: int) -> bytes:
    """A file that a tool wrote in a call outside conversations; reads the disk.

    Args:
        host: The host.
        actor: Whose call it was.
        path: Relative to the workspace of such calls.
        largest: Bytes it may have.

    Raises:
        CollectRefused: The file is not there, larger, or not one that the host touches.
    """
    try:
        root = open_without_links(str(host.data.own_workspace(actor.user_id)), os.O_PATH | os.O_DIRECTORY)
    except OSError:
        raise CollectRefused("file_not_found", "There are no files yet.") from None
    try:
        return read_collected(root, path, largest)
    finally:
        os.close(root)
