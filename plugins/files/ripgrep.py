"""Ripgrep, where the machine has it and the policy grants it: it says which files are worth looking into.

The lines themselves are found by the same code with it and without it, so that an answer does not depend on it.
"""

from __future__ import annotations

from pathlib import Path

from toolhost import ToolContext, ToolError

__all__ = ["likely_files"]

_COMMAND = (
    "rg",
    "--no-config",
    "--no-messages",
    "--files-with-matches",
    "--null",
    "--no-require-git",
    "--no-ignore-parent",
    "--no-ignore-global",
    "--no-ignore-exclude",
    "--no-ignore-dot",
    "--max-filesize=10M",
)
_NEVER = (".git", ".toolhost")

_missing: list[str] = []
"""Why this worker stopped asking for it: what is not there or not granted stays so for as long as a worker lives."""


def likely_files(
    ctx: ToolContext, pattern: str, path: str, *, regex: bool, ignore_case: bool, hidden: bool
) -> list[Path] | None:
    """The files below a folder that hold a line which matches; None where ripgrep cannot say."""
    if _missing or not Path(path).is_dir():
        return None
    words = [*_COMMAND]
    words += ["--fixed-strings"] if not regex else []
    words += ["--ignore-case"] if ignore_case else []
    words += ["--hidden", "--no-ignore", "--glob=!.git"] if hidden else []
    try:
        done = ctx.run(*words, "-e", pattern, "--", path).wait()
    except ToolError as error:
        if error.code in ("program_missing", "no_rule", "no_host"):
            _missing.append(error.code)
        return None
    if done.stderr or done.exit_code not in (0, 1, 2):  # 2: a file that could not be read, or a pattern of another kind
        return None
    found = [Path(name) for name in done.stdout.split("\0") if name]
    return sorted((file for file in found if not set(file.parts) & set(_NEVER)), key=_place)


def _place(file: Path) -> tuple[tuple[bool, str], ...]:
    """Sorts as a walk does: the files of a folder, then its folders."""
    return (*((True, part) for part in file.parts[:-1]), (False, file.name))
