"""The rules about which room may use what, held over the source itself."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {"core": "toolhost", **{room: f"toolhost.{room}" for room in ("sandbox", "plugins", "web", "policies")}}
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LONGEST = 500

STARTERS = re.compile(
    r"(os\.(fork|forkpty|exec\w+|posix_spawnp?|spawn\w+|system|popen|startfile)|pty\.(fork|spawn)"
    r"|asyncio\.create_subprocess_\w+|\w+\.subprocess_(exec|shell))"
)
STARTING_MODULES = {"subprocess", "multiprocessing", "pty", "_posixsubprocess"}


def module_name(path: Path) -> str:
    room, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([ROOMS[room], *rest]).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The room a module of ours belongs to, or the name of a foreign package."""
    for room, package in ROOMS.items():
        if room != "core" and (module == package or module.startswith(package + ".")):
            return room
    return "core" if module.split(".")[0] == "toolhost" else module.split(".")[0]


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every imported module with its line, and whether the import is at the module's top level."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            assert node.module is not None
            for alias in node.names:
                # `from toolhost import sandbox` names a room, `from toolhost import tool` a name of the face.
                name = f"{node.module}.{alias.name}"
                yield name if room_of(name) != room_of(node.module) else node.module, node.lineno, id(node) in top


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_imports_point_down(path: Path) -> None:
    allowed = {"sandbox": {"sandbox"}, "core": {"core", "sandbox"}, "web": {"core", "sandbox", "web"}}
    room = room_of(module_name(path))
    for module, line, top in imports(path):
        where = f"{path.relative_to(ROOT)}:{line}: imports {module}"
        target = room_of(module)
        if target not in ROOMS:
            assert target not in ("core", *ROOMS), where
        elif room == "plugins":
            own = ".".join(module_name(path).split(".")[:3])
            assert module == "toolhost" or module.startswith(own), f"{where}; a plugin uses the face only"
        elif target == "web" and room == "core":
            assert module_name(path).startswith("toolhost.cli."), f"{where}; only the command line may"
            assert not top, f"{where}; only when it serves"
        else:
            assert target in allowed.get(room, set()), where
            if module.startswith("toolhost.cli"):
                assert module_name(path).startswith("toolhost.cli"), f"{where}; nothing is built on the command line"


def test_plugins_use_the_standard_library_only() -> None:
    for path in (ROOT / "plugins").rglob("*.py"):
        for module, line, _ in imports(path):
            top = module.split(".")[0]
            assert top == "toolhost" or top in sys.stdlib_module_names, f"{path}:{line}: imports {module}"


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(module_name(path)) != "sandbox"], ids=identify)
def test_only_the_sandbox_room_starts_processes(path: Path) -> None:
    for module, line, _ in imports(path):
        assert module.split(".")[0] not in STARTING_MODULES, f"{path}:{line}: imports {module}"
        assert "ProcessPool" not in module
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute | ast.Name):
            assert not STARTERS.fullmatch(ast.unparse(node)), f"{path}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "asyncio"):
            for alias in node.names:
                assert not STARTERS.fullmatch(f"{node.module}.{alias.name}"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_modules_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    docstring = ast.get_docstring(tree)
    assert docstring or not tree.body
    assert "TODO" not in (docstring or "")


def test_no_two_files_of_tests_have_one_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))  # pytest imports each under its name alone
