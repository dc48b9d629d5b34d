"""The network of a call: a namespace of its own with a loopback, one listening socket, and no way out.

Made by the spawner, which enters it just long enough to start bubblewrap there. The listening socket goes to the host;
what is accepted from it there reaches the sandbox, although the host is in another namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from toolhost.sandbox import kernel
from toolhost.sandbox.destinations import PROXY

__all__ = ["CallNetworks"]

_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_IFF_UP = 1
_BACKLOG = 64


class CallNetworks:
    """Makes them. The process must be single-threaded, and be in its empty network namespace when this is made."""

    def __init__(self) -> None:
        self._empty = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def new(self) -> Iterator[socket.socket]:
        """Be in a new network namespace for a moment: what is started meanwhile stays in it.

        Yields:
            Its listening socket; the caller closes it.

        Raises:
            OSError: It cannot be made.
            RuntimeError: The way back is barred. The process is then of no use: it would start others in here.
        """
        kernel.unshare(kernel.CLONE_NEWNET)
        try:
            with contextlib.ExitStack() as undo:
                listener = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                fcntl.ioctl(listener, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
                listener.bind(PROXY)
                listener.listen(_BACKLOG)
                yield listener
                undo.pop_all()
        finally:
            try:
                kernel.setns(self._empty, kernel.CLONE_NEWNET)
            except OSError as error:
                raise RuntimeError("the empty network namespace cannot be entered again") from error
