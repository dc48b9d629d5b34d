"""What is installed: the face that authors import, the version, and a command that answers at once."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import toolhost

ROOT = Path(__file__).parents[2]

FACE = ["ToolContext", "ToolError", "ToolOutput", "hookimpl", "tool"]


def test_the_face_is_what_authors_were_promised() -> None:
    assert set(FACE) <= set(toolhost.__all__)
    assert sorted(toolhost.__all__, key=str.lower) == sorted(set(toolhost.__all__), key=str.lower)
    for name in toolhost.__all__:
        assert getattr(toolhost, name) is not None


def test_help_imports_click_and_little_else() -> None:
    program = (
        "import sys\n"
        "from toolhost.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(','.join(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "Commands:" in done.stdout
    loaded = set(done.stderr.strip().split(",")) - sys.stdlib_module_names
    heavy = {"quart", "hypercorn", "sqlalchemy", "alembic", "pydantic", "jinja2", "passlib", "jwt", "tree_sitter"}
    assert not loaded & heavy
    assert "asyncio" not in done.stderr.split(",")


def test_the_version_is_the_changelog_s_newest() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert declared == newest[1] == metadata.version("toolhost")


def test_everything_a_room_needs_at_run_time_is_installed() -> None:
    installed = {str(file) for file in metadata.files("toolhost") or ()}
    if not any(name.startswith("toolhost/") for name in installed):
        return  # an editable installation: the checkout itself is what runs
    for room in ("core", "sandbox", "plugins", "web", "policies"):
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".toml", ".html", ".css", ".js", ".json", ".svg"):
                inside = path.relative_to(ROOT).as_posix().removeprefix("core/")
                assert f"toolhost/{inside}" in installed, path


def test_locks_hold_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "index" not in text
        pins = re.findall(r"^([a-z0-9-]+)==\S+ .*\\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
        assert "setuptools" in pins


def test_run_time_pins_are_what_the_tests_run_with() -> None:
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / name).read_text(), re.MULTILINE))

    development = pins("requirements-dev.lock")
    for name, version in pins("requirements.lock").items():
        assert development[name] == version


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=!~ ]", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    providers = metadata.packages_distributions()
    imported = set()
    for room in ("core", "sandbox", "plugins", "web"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                imported |= {name.split(".")[0] for name in names}
    # pytest: it loads the one module that imports it.
    foreign = imported - sys.stdlib_module_names - {"toolhost", "pytest"}
    provided = {name: {each.lower().replace("_", "-") for each in providers.get(name, ())} for name in foreign}
    # Parts of a declared package that are distributions of their own.
    parts = {"werkzeug": "quart", "markupsafe": "jinja2", "pydantic_core": "pydantic"}
    parts |= dict.fromkeys(("openai", "anthropic"), "pydantic-ai-slim")
    for name, distributions in provided.items():
        assert declared & (distributions | {parts.get(name, name)}), f"{name} is imported but not declared"
    # Found by name at run time: SQLAlchemy's driver, passlib's back end, pyjwt's import name.
    indirect = {"aiosqlite", "argon2-cffi"}
    used = {each for distributions in provided.values() for each in distributions}
    assert declared - used - indirect == set()
