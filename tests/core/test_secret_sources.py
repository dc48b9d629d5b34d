"""Where the secrets of a call come from: what is wrong with one ends the call before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosted import Hosted
from owners import SERVICE_USER, give

POLICY = """
runs_code = ["bash"]
[commands]
allow = ["bash -c {text}"]
inside = ["cat", "touch"]
[paths]
write = ["{workspace}"]
"""


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    folder = tmp_path_factory.mktemp("secrets")
    for each in (folder, *list(folder.parents)[:3]):
        if each != Path("/tmp"):
            each.chmod(0o755)
    host = Hosted(folder.resolve(), probe=POLICY)
    yield host
    host.close()


def secrets(hosted: Hosted, text: str) -> None:
    hosted.write("probe", f"{POLICY}[secrets]\n{text}\n")
    assert hosted.ask(do="reload")["problems"] == []


def test_a_secret_is_read_anew_by_each_call_and_bound_by_its_name(hosted: Hosted) -> None:
    file = hosted.data / "key"
    secrets(hosted, f'key = {{ file = "{file}" }}')
    plans = []
    for value in ("first-value", "other-value"):
        file.write_text(value)
        file.chmod(0o600)
        give(file, SERVICE_USER)
        made = hosted.run("bash", "-c", "cat /run/secrets/key > copy; cat /run/secrets/key")
        assert (made["status"], made["stdout"], made["sandbox"]["armed"]) == ("ok", "[redacted]", False), made
        assert (hosted.workspace / "copy").read_text() == value
        plans.append(made["sandbox"]["plan_digest"])
    assert plans[0] == plans[1]
    hosted.write("probe", POLICY)
    hosted.ask(do="reload")
    made = hosted.run("bash", "-c", "cat /run/secrets/key")
    assert "No such file" in made["stderr"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{ env = "NO_SUCH_SECRET" }', "is not set"),
        ('{ env = "SECRET" }', "less than 8 bytes"),
        ('{ credential = "token" }', "handed over no credentials"),
        ('{ file = "DATA/missing" }', "does not exist"),
        ('{ file = "DATA/link" }', "is a link"),
        ('{ file = "DATA" }', "is not a regular file"),
        ('{ file = "DATA/open" }', "can be read or changed by others"),
        ('{ file = "DATA/empty" }', "is empty"),
        ('{ file = "DATA/large" }', "more than 16 KiB"),
    ],
)
def test_a_secret_that_cannot_be_used_ends_the_call_before_anything_runs(
    hosted: Hosted, source: str, said: str
) -> None:
    for name, content, mode in (
        ("open", "hunter2hunter2", 0o644),
        ("empty", "\n", 0o600),
        ("large", "x" * 20_000, 0o600),
    ):
        (hosted.data / name).write_text(content)
        (hosted.data / name).chmod(mode)
        give(hosted.data / name, SERVICE_USER)
    if not (hosted.data / "link").is_symlink():
        (hosted.data / "link").symlink_to("large")
    secrets(hosted, f"token = {source.replace('DATA', str(hosted.data))}")
    made = hosted.run("bash", "-c", "touch ran")
    assert (made["status"], made["error"]["code"]) == ("error", "secret_unavailable"), made
    assert said in made["error"]["message"]
    assert made["error"]["hint"]
    assert not (hosted.workspace / "ran").exists()
