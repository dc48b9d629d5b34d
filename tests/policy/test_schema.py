"""`policy schema`: editors accept and refuse the keys and types that the host does, and taplo agrees."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from policy_bench import Bench

from toolhost.policy.schema import SCHEMA_FILES, policy_schema, schema_text

POLICIES = Path(__file__).parents[2] / "policies"
BAD = Path(__file__).parent / "bad"
TAPLO = Path(sys.executable).parent / "taplo"
# What a schema can see: keys and types. What values mean is for `policy check`.
SHOWN = [
    "unknown_key",
    "number_for_a_string",
    "list_forgotten",
    "unknown_limit",
    "unit_forgotten",
    "limit_of_zero",
    "string_for_a_flag",
    "isolation_misspelt",
    "role_misspelt",
    "unknown_key_in_a_rule",
    "rule_without_run",
    "no_plugin",
    "example_expects_nonsense",
    "deny_with_limits",
    "units_in_another_notation",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both schemas, as a new policies folder has them."""
    for name, host in SCHEMA_FILES.items():
        (tmp_path / name).write_text(schema_text(host=host))
    return tmp_path


def taplo(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TAPLO, "lint", *files], capture_output=True, text=True, timeout=60, cwd=files[0].parent)


def test_taplo_finds_nothing_in_the_packaged_policies(folder: Path) -> None:
    files = [Path(shutil.copy(file, folder)) for file in POLICIES.glob("*.toml")]
    for file in files:
        name = "host.schema.json" if file.name == "host.toml" else "policy.schema.json"
        assert file.read_text().startswith(f"#:schema ./{name}\n")
    done = taplo(*files)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SHOWN)
def test_taplo_refuses_what_has_another_key_or_type(folder: Path, name: str) -> None:
    file = folder / f"{name}.toml"
    file.write_text("#:schema ./policy.schema.json\n" + (BAD / f"{name}.toml").read_text())
    done = taplo(file)
    assert done.returncode != 0
    assert "┌─" in done.stderr  # a place in the file: not a schema that cannot be read


def leaves(
    schema: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every key of fixed tables, with its schema."""
    for name, part in schema["properties"].items():
        if part.get("type") == "object" and "properties" in part:
            yield from leaves(part, (*path, name))
        else:
            yield (*path, name), part


WRONG = {"string": "1", "boolean": '"x"', "integer": '"x"', "array": '"x"', "object": '"x"'}


@pytest.mark.parametrize("host", [False, True])
def test_the_host_refuses_another_type_wherever_the_schema_does(bench: Bench, host: bool) -> None:
    for path, schema in leaves(policy_schema(host=host)):
        key = ".".join(path)
        line = f"{key} = {WRONG[schema['type']]}\n"
        if host:
            problems = bench.problems(host=line)
        else:
            problems = bench.problems(probe=line if key == "plugin" else f'plugin = "probe"\n{line}')
        assert [problem for problem in problems if re.search(r": wrong_type: ", problem)], (key, problems)


def test_every_table_is_closed() -> None:
    for host in (False, True):
        for part in json.dumps(policy_schema(host=host)).split('"type": "object"')[1:]:
            assert part.startswith((', "additionalProperties"',)), part[:80]
