"""Asking the person at the terminal for a yes before something is changed."""

from __future__ import annotations

from toolhost.cli.exits import report
from toolhost.cli.terminal import confirm, interactive, safe

__all__ = ["consent"]


async def consent(question: str, yes: bool) -> bool:
    """Whether a person agrees; without a terminal only `--yes` is one.

    Args:
        question: What is asked, as a sentence.
        yes: Whether `--yes` was given.
    """
    if yes:
        return True
    if not interactive():
        report("Nobody is there to be asked; nothing was changed.", "approval_required", "Add --yes if you agree.")
        return False
    if await confirm(f"{safe(question)} [y/N] "):
        return True
    report("Nothing was changed.", "approval_refused")
    return False
