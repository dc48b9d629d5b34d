"""How large things are: as people read it, and what a request may bring."""

from __future__ import annotations

import re
from typing import Any

from quart import Request

from toolhost.uploads import LARGEST

__all__ = ["Sized", "size_text"]

_UPLOAD = re.compile(r"/api/conversations/[^/]+/files/.+")


class Sized(Request):
    """A request whose body may be as large as its route takes: an upload is larger than anything else."""

    def __init__(
        self, method: str, scheme: str, path: str, *args: Any, max_content_length: int | None = None, **more: Any
    ) -> None:
        if method == "PUT" and _UPLOAD.fullmatch(path):
            max_content_length = LARGEST
        super().__init__(method, scheme, path, *args, max_content_length=max_content_length, **more)


def size_text(size: int) -> str:
    """Bytes as people read them."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
