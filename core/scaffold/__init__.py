"""What `toolhost plugin new` writes: a plugin with its tests, its request for a policy, and what publishing it takes.

`files/common` is in every plugin, `files/KIND` in those of its kind. `@name@` and `@package@` are replaced in the names
and the texts. A file ends in `.txt` here, so that nothing takes it for what it will be, and `dot.` stands for a dot
before a name.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from toolhost.errors import UsageError
from toolhost.pluginhost.manifest import is_plugin_name

__all__ = ["Kind", "write_plugin"]

Kind = Literal["python", "toml", "mcp"]

_ENDING = ".txt"
_DOT = "dot."


def write_plugin(folder: Path, name: str, kind: Kind) -> list[Path]:
    """Write a new plugin into a folder that is not there yet.

    Args:
        folder: The folder.
        name: The plugin's name.
        kind: What its tools are made of.

    Returns:
        The files, relative to the folder, sorted.

    Raises:
        UsageError: `plugin_name_invalid`, `folder_exists`, `folder_not_writable`.
    """
    package = name.replace("-", "_")
    taken = keyword.iskeyword(package) or package in sys.stdlib_module_names or package in ("toolhost", "tests")
    if not is_plugin_name(name) or taken:
        raise UsageError(
            "plugin_name_invalid",
            f"{name!r} cannot be the name of a plugin and of its Python package.",
            "Use lower-case letters, digits, `_` and `-`, and no name of a module of Python.",
        )
    written = []
    try:
        folder.mkdir(parents=True)
        for relative, text in sorted(_files(kind)):
            path = Path(_filled(relative, name, package))
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(_filled(text, name, package), encoding="utf-8")
            written.append(path)
    except FileExistsError:
        raise UsageError("folder_exists", f"{folder} is there already.", "Choose another name or folder.") from None
    except OSError as error:
        raise UsageError("folder_not_writable", f"{folder} cannot be written: {error.strerror}.") from error
    return written


def _files(kind: Kind) -> Iterator[tuple[str, str]]:
    root = resources.files("toolhost.scaffold") / "files"
    for part in ("common", kind):
        yield from _below(root / part, "")


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        name = prefix + (f".{entry.name.removeprefix(_DOT)}" if entry.name.startswith(_DOT) else entry.name)
        if entry.is_dir():
            yield from _below(entry, f"{name}/")
        elif name.endswith(_ENDING):
            yield name.removesuffix(_ENDING), entry.read_text(encoding="utf-8")


def _filled(text: str, name: str, package: str) -> str:
    return text.replace("@name@", name).replace("@package@", package)
