"""What the settings file tells an extension: its `[extension.NAME]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolhost.policy.table import Table
    from toolhost.settings import Settings

__all__ = ["options"]


@contextmanager
def options(settings: Settings, name: str, *keys: str) -> Iterator[Table]:
    """Read an extension's part of `toolhost.toml`; whatever is wrong in it is raised at the end.

    Args:
        settings: The host's.
        name: The extension's name there.
        keys: The keys it may have.

    Raises:
        UsageError: `setting_invalid`.
    """
    with settings.file.reading() as top:
        yield top.table("extension", None).table(name, keys)
