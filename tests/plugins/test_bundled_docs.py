"""The page about the bundled plugins says what they are: every tool, its inputs, and what its policy decides."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import tomli
from bundled import MANIFESTS, bundled_tools

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "bundled.md").read_text()
ROW = re.compile(r"^\| `(\w+\.\w+)` \| (\w+) \|\s*(.*?)\s*\|.*\|$", re.MULTILINE)


def test_every_tool_is_there_with_its_inputs_and_no_other() -> None:
    documented = {name: set(re.findall(r"`(\w+)`", inputs)) for name, _, inputs in ROW.findall(PAGE)}
    assert documented == bundled_tools()


@pytest.mark.parametrize("plugin", MANIFESTS)
def test_every_plugin_has_a_section_and_a_policy(plugin: str) -> None:
    assert f"\n## {plugin}\n" in PAGE
    assert (ROOT / "policies" / f"{plugin}.toml").exists()


def test_what_is_said_of_tools_by_name_is_what_their_policies_decide() -> None:
    said = {name: outcome for name, outcome, _ in ROW.findall(PAGE)}
    assert set(said.values()) <= {"allow", "ask", "deny"}
    for plugin in MANIFESTS:
        rules = tomli.loads((ROOT / "policies" / f"{plugin}.toml").read_text()).get("tools", {})
        for outcome, names in rules.items():
            for name in names:
                assert said[f"{plugin}.{name}"] == outcome, name


@pytest.mark.parametrize("plugin", MANIFESTS)
def test_every_tool_says_what_it_is_for(plugin: str) -> None:
    manifest = MANIFESTS[plugin]
    for table in manifest.get("tools", ()):
        assert len(table["about"]) > 20, table["name"]
        for name, schema in table.get("input", {}).items():
            assert schema.get("description"), f"{table['name']}: {name}"
    if "module" in manifest:
        functions: list = []
        import_module(manifest["module"]).register_tools(functions.append)
        for function in functions:
            about, _, arguments = (inspect.getdoc(function) or "").partition("\n\nArgs:")
            assert len(about) > 30, function
            for name in inspect.signature(function).parameters:
                assert name == "ctx" or f"\n    {name}:" in arguments, f"{function}: {name}"
