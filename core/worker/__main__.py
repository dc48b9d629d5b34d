"""Start of a worker: `python -I -S -B .../worker/__main__.py [--path DIR]... [--package NAME=DIR]... PLUGIN MODULE`.

Run by its path, with no site-packages on the search path and no way to import the host yet: this file sets both up.
Python's own search path stays as it is (standard library only); `--path` adds folders to it, and `--package` says where
a package is whose folder has another name, as in an editable install.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location

__all__ = ["main"]


class _MappedPackages:
    """Finds packages by name in folders that may be called anything."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        folder = self._folders.get(name)
        if folder is None:
            return None
        init = os.path.join(folder, "__init__.py")  # noqa: PTH118  # pathlib costs a tenth of the start
        if os.path.exists(init):  # noqa: PTH110
            return spec_from_file_location(name, init, submodule_search_locations=[folder])
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        return spec


def main(arguments: list[str]) -> int:
    """Take over the protocol's descriptors, then serve the plugin until the host closes the pipe."""
    # Before any other code runs: the protocol moves to descriptors of its own, and descriptor 1 becomes standard error,
    # so that a plugin's `print` is a log line and never a reply.
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    packages: dict[str, str] = {}
    while len(arguments) > 2:
        option, value, *arguments = arguments
        if option == "--path":
            sys.path.append(value)
        else:
            name, _, folder = value.partition("=")
            packages[name] = folder
    sys.meta_path.insert(sys.meta_path.index(PathFinder), _MappedPackages(packages))
    from toolhost.worker.serve import serve

    plugin, module = arguments
    return serve(plugin, module, incoming, outgoing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
