"""The documentation names everything that exists, and nothing that does not."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from toolhost.cli import main
from toolhost.policy.limit_table import LIMITS
from toolhost.settings import SECTIONS, SETTINGS, Setting

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SOURCES = [path for room in ("core", "sandbox", "web", "plugins") for path in sorted((ROOT / room).rglob("*.py"))]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def rows(page: Path) -> list[str]:
    """The first cell of every table row of a page, without its header."""
    return re.findall(r"^\| `([^`]+)`", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented_as_the_table_has_it(setting: Setting) -> None:
    flag = "none: a secret" if setting.flag is None else f"`{setting.flag}`"
    variables = ", ".join(f"`{name}`" for name in setting.variables)
    default = f"`{setting.shown}`" if setting.shown else "none"
    row = f"| `{setting.name}` | {flag} | {variables} | {setting.kind.name} | {default} | {setting.help} |"
    assert row in (REFERENCE / "settings.md").read_text().splitlines()


def test_every_section_of_the_settings_file_is_documented() -> None:
    page = (REFERENCE / "settings.md").read_text().splitlines()
    assert not [one.name for one in SECTIONS if f"| `{one.name}` | {one.help} |" not in page]


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = set(rows(REFERENCE / "settings.md"))
    existing = {one.name for one in (*SETTINGS, *SECTIONS)} | {"state/", "policies/", "plugins/", "workspaces/"}
    assert documented - {"toolhost.toml"} == existing


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL_COMMANDS = list(commands(main, "toolhost"))
SETTING_NAMES = {setting.name for setting in SETTINGS}  # the flags of `serve`, in settings.md


@pytest.mark.parametrize(("name", "command"), ALL_COMMANDS, ids=[name for name, _ in ALL_COMMANDS])
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    page = (REFERENCE / "cli.md").read_text()
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert section, f"{name} has no section in cli.md"
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in SETTING_NAMES:
            assert any(option in section for option in parameter.opts), f"{name} {parameter.opts}"


def test_no_command_is_documented_that_does_not_exist() -> None:
    sections = re.findall(r"^## (toolhost .+)$", (REFERENCE / "cli.md").read_text(), re.MULTILINE)
    assert sections == sorted(sections, key=sections.index)
    assert set(sections) == {name for name, _ in ALL_COMMANDS}


def routes() -> set[str]:
    """Every route of the web room, from its decorators: `GET /api/tools`."""
    found = set()
    for path in sorted((ROOT / "web").rglob("*.py")):
        tree = ast.parse(path.read_text())
        prefix = ""
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Blueprint":
                prefix = next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "url_prefix"), "")
        for node in ast.walk(tree):
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).startswith("blueprint."):
                    method = ast.unparse(decorator.func).removeprefix("blueprint.").upper()
                    if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET"):
                        rule = prefix + ast.literal_eval(decorator.args[0])
                        rule = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
                        found.add(f"{method.replace('WEBSOCKET', 'WS')} {rule}")
    return found


def test_every_route_is_documented_and_no_other() -> None:
    page = (REFERENCE / "http.md").read_text()
    documented = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE|WS) /[^` ]*)", page))
    assert documented == routes()


def test_the_websocket_s_events_are_documented() -> None:
    emitted = set()
    for path in (ROOT / "web").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                if node.func.attr in ("emit", "end", "_reply") and isinstance(first, ast.Constant):
                    emitted.add(first.value)
                    assert f"`{first.value}`" in (REFERENCE / "http.md").read_text(), f"{path}: {first.value}"
    assert "run.started" in emitted
    assert all(
        f"`{end}`" in (REFERENCE / "http.md").read_text() for end in ("run.completed", "run.failed", "run.cancelled")
    )


MAKERS = re.compile(
    r"(\w*(Error|Refused|Refusal|Unavailable|Unfit)|_error|problem|at|_denied|_report|_wrong|_on_quarantine)"
)


def literals(node: ast.expr) -> Iterator[str]:
    """The texts an expression can be: a constant, or either side of a conditional one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def is_sentence(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or any(" " in text and not text.startswith("/") for text in literals(node))


def raised_codes() -> dict[str, str]:
    """Every error and decision code that the source can give, with a place where it does."""
    found: dict[str, str] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call):
                values += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                if MAKERS.fullmatch(ast.unparse(node.func).rpartition(".")[2]):
                    # A code stands beside its sentence, before it or (ToolError) after it.
                    values += [value for value in node.args[:3] if any(map(is_sentence, node.args))]
            elif isinstance(node, ast.Tuple) and len(node.elts) > 1 and any(map(is_sentence, node.elts)):
                values += node.elts[:2]
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None and "code" in literals(key):
                        values.append(value)
            for value in values:
                for text in literals(value):
                    if "_" in text and CODE.fullmatch(text):
                        found.setdefault(text, f"{path.relative_to(ROOT)}:{value.lineno}")
    return found


def documented_codes() -> list[str]:
    return rows(REFERENCE / "errors.md")


def test_every_code_is_documented() -> None:
    missing = {code: place for code, place in raised_codes().items() if code not in documented_codes()}
    assert not missing


def test_no_code_is_documented_that_nothing_gives() -> None:
    written = {"rule_allow", "rule_ask"}  # made of a rule's outcome
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                written.add(node.value)
    documented = documented_codes()
    assert len(documented) == len(set(documented))
    assert not [code for code in documented if code not in written]


def test_every_limit_is_documented_with_its_unit() -> None:
    page = (REFERENCE / "policy.md").read_text()
    for name in LIMITS:
        assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE), name


def test_every_policy_key_is_documented() -> None:
    page = (REFERENCE / "policy.md").read_text()
    keys = set()
    for module in ("load", "host_file", "rule_table", "env_table", "who_table", "example_table"):
        for name, value in vars(import_module(f"toolhost.policy.{module}")).items():
            if name.endswith("KEYS"):
                keys |= set(value)
    assert {"plugin", "inside", "protect", "workspaces", "because", "roles"} <= keys
    for key in keys:
        assert re.search(rf"`\[*{key}\]*`", page), key


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_have_a_title_and_no_loose_ends(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert not re.search(r"\b(TODO|FIXME|PLACEHOLDER)\b(?!\b)", text.replace("pattern=TODO", ""))


def test_decisions_are_numbered_one_by_one() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for number, page in enumerate(pages, 1):
        assert page.read_text().startswith(f"# {number}. "), page.name
