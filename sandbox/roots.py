"""Naming a host folder or file as a root."""

from __future__ import annotations

import os

from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.mounts import facts_of, refusal
from toolhost.sandbox.plan import Root

__all__ = ["root"]


def root(
    source: str,
    target: str,
    *,
    writable: bool = False,
    executable: bool = False,
    hidden: tuple[str, ...] = (),
    hidden_globs: tuple[str, ...] = (),
    protected: tuple[str, ...] = (),
) -> Root:
    """A root, held to the folder or file that stands there now.

    Args:
        source: Absolute host path without a link in any component.
        target: Where it stands inside.
        writable: Whether it may be written.
        executable: Whether files of a writable root may be executed.
        hidden: Paths relative to it that are not there inside.
        hidden_globs: Patterns of such paths.
        protected: Paths relative to it that cannot be written or created.

    Raises:
        PlanRefused: `root_missing`, `root_is_link`, `root_not_accessible` or `descriptors_exhausted`.
    """
    try:
        fd = open_without_links(source)
    except OSError as error:
        raise refusal(source, error) from error
    facts = facts_of(source, fd)
    os.close(fd)
    return Root(
        source=source,
        target=target,
        device=facts.st_dev,
        inode=facts.st_ino,
        writable=writable,
        executable=executable,
        hidden=hidden,
        hidden_globs=hidden_globs,
        protected=protected,
    )
