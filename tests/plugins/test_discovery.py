"""Finding installed plugins by metadata alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pluginbench import Bench, Running

from toolhost.pluginhost.discovery import Candidate, candidates, digest, module_file

IMPORTED = "import builtins\nbuiltins.weather_was_imported = True\n"
MODULE = """
from weather.numbers import ANSWER
from toolhost import hookimpl, tool

@tool
def answer() -> int:
    "The answer."
    return ANSWER

@hookimpl
def register_tools(register):
    register(answer)
"""


def install(site: Path, *, value: str = "weather.host", listed: bool = True, manifest: bool = True) -> None:
    """A distribution in a folder of the search path, as an installer leaves it (or as an editable install does)."""
    package = site / "weather"
    (package / "host").mkdir(parents=True)
    (package / "__init__.py").write_text(IMPORTED)
    (package / "numbers.py").write_text("ANSWER = 42\n")
    (package / "host" / "__init__.py").write_text(IMPORTED)
    (package / "host" / "tools.py").write_text(MODULE)
    if manifest:
        (package / "host" / "plugin.toml").write_text(
            'name = "weather"\nversion = "1.0"\nabout = "W."\nmodule = "weather.host.tools"\n'
        )
    info = site / "weather_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weather-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[toolhost.plugins]\nweather = {value}\n")
    files = sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files) if listed else "")


def found(site: Path) -> Candidate:
    return next(candidate for candidate in candidates(site / "none") if candidate.label == "weather")


@pytest.mark.parametrize("listed", [True, False], ids=["by its files", "by the import system"])
def test_an_installed_plugin_is_found_and_nothing_of_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    install(tmp_path, listed=listed)
    monkeypatch.syspath_prepend(tmp_path)
    candidate = found(tmp_path)
    assert candidate.problem is None
    assert candidate.folder == tmp_path / "weather" / "host"
    assert candidate.packages == (("weather", tmp_path / "weather"), ("weather.host", tmp_path / "weather" / "host"))
    assert candidate.distribution == "weather-plugin"
    assert module_file(candidate, "weather.host.tools") == tmp_path / "weather" / "host" / "tools.py"
    assert module_file(candidate, "weather.numbers") is None
    assert module_file(candidate, "os") is None
    assert "weather" not in sys.modules


@pytest.mark.parametrize("value", ["weather.host", "weather.nothing", "nothing", "os", "weather.numbers"])
def test_an_entry_point_without_a_manifest_is_a_problem_and_not_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    install(tmp_path, value=value, manifest=False)
    monkeypatch.syspath_prepend(tmp_path)
    candidate = found(tmp_path)
    assert candidate.problem is not None
    assert candidate.problem.code == "manifest_missing"
    assert "weather" not in sys.modules


@pytest.mark.parametrize("listed", [True, False], ids=["by its files", "by the import system"])
def test_an_installed_python_plugin_runs_in_its_worker(
    bench: Bench, space: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    site = space / "site"
    install(site, listed=listed)
    monkeypatch.syspath_prepend(site)
    (bench.policies / "weather.toml").write_text('plugin = "weather"\n[tools]\nallow = ["answer"]\n')

    async def scenario(host: Running) -> None:
        record = host.registry.plugins["weather"]
        assert (record.state, record.source) == ("active", "entry point"), record.reason
        assert (await host.call("weather.answer")).worker.value == 42
        assert "weather" not in sys.modules

    bench.run(scenario)


def test_the_digest_follows_names_and_contents_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert digest(tmp_path) == first
    (tmp_path / "a").write_text("2")
    second = digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, digest(tmp_path)}) == 3
