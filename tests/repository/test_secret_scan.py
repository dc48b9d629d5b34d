"""No secret is in the repository, and the rules that look for ours find them."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolhost.settings import SETTINGS

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / ".gitleaks.toml").read_text())
RULES = {rule["id"]: rule for rule in CONFIG["rules"]}
BASE62 = "Zk3" * 10 + "xY"


def tracked() -> Iterator[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    # "safe.directory": whoever runs the tests need not own the checkout.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            yield ROOT / name


def found(text: str) -> list[str]:
    """The rules that find something; a keyword is what gitleaks looks for first."""
    lowered = text.lower()
    return [
        name
        for name, rule in RULES.items()
        if any(word in lowered for word in rule["keywords"]) and re.search(rule["regex"], text)
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"TOKEN = 'aio_{BASE62}'", "toolhost-api-key"),
        ("JWT_SECRET" + f"_KEY={BASE62}", "toolhost-signing-secret"),
        ("jwt_secret" + f'_key = "{BASE62}"', "toolhost-signing-secret"),
        ("ADMIN_PASSWORD=" + "hunter2hunter2", "toolhost-admin-password"),
        ("-----BEGIN EC PRIVATE" + " KEY-----\n" + BASE62 * 4 + "\n-----END", "private-key-block"),
    ],
)
def test_each_rule_finds_what_it_is_for(text: str, rule: str) -> None:
    assert rule in found(text)


def test_no_file_of_the_repository_holds_a_secret() -> None:
    held = {}
    for path in tracked():
        text = path.read_bytes().decode(errors="replace")
        if rules := found(text):
            held[str(path.relative_to(ROOT))] = rules
    assert not held


def test_a_file_of_variables_is_ignored_and_its_example_holds_none() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", ".env.*", "!.env.example"} <= set(ignored)
    names = {name for setting in SETTINGS for name in setting.variables}
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        name, _, value = line.partition("=")
        assert name in names
        assert value == ""
