"""`toolhost model`: the models of the settings, those found on this machine, and what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from modelserver import KEY, ModelServer
from owners import SERVICE_USER, give

MODEL = '[[models]]\nname = "m"\nprovider = "openai"\nmodel = "tiny"\n'


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def write(data: Path) -> Callable[[str], Path]:
    """Writes the settings file."""

    def write(text: str) -> Path:
        path = data / "toolhost.toml"
        path.write_text(text)
        path.chmod(0o600)
        give(path, SERVICE_USER)
        return path

    return write


def test_models_are_listed_and_tried_and_no_key_is_shown(toolhost, write, models: ModelServer, data: Path) -> None:
    good, bad = data / "good.key", data / "bad.key"
    for path, key in ((good, KEY), (bad, KEY[::-1])):
        path.write_text(key + "\n")
        give(path, SERVICE_USER)
    write(
        MODEL
        + f'url = "{models.url}"\nkey_file = "{good}"\n'
        + MODEL.replace('"m"', '"bad"')
        + f'url = "{models.url}"\nkey_file = "{bad}"\n'
    )
    off = {"TOOLHOST_OLLAMA": "off"}
    listed = toolhost("model", "list", "--output", "json", env=off)
    assert [(item["name"], item["key"]) for item in json.loads(listed.stdout)] == [
        ("m", f"the file {good}"),
        ("bad", f"the file {bad}"),
    ]
    tried = toolhost("model", "test", "m", env=off)
    assert (tried.returncode, "m answers" in tried.stdout) == (0, True), tried.stderr
    refused = toolhost("model", "test", "bad", env=off)
    assert (refused.returncode, "model_key_refused" in refused.stderr) == (1, True), refused.stderr
    unknown = toolhost("model", "test", "none", env=off)
    assert (unknown.returncode, "unknown_model" in unknown.stderr) == (2, True)
    for done in (listed, tried, refused):
        assert KEY not in done.stdout + done.stderr
        assert KEY[::-1] not in done.stdout + done.stderr


def test_an_ollama_on_this_machine_is_found_by_itself(toolhost, models: ModelServer) -> None:
    here = {"TOOLHOST_OLLAMA": models.url.removesuffix("/v1")}
    listed = json.loads(toolhost("model", "list", "--output", "json", env=here).stdout)
    assert [(item["name"], item["found"]) for item in listed] == [
        ("ollama/tiny:latest", True),
        ("ollama/other:1b", True),
    ]
    assert toolhost("model", "test", "ollama/tiny:latest", env=here).returncode == 0
    nowhere = toolhost("model", "list", env={"TOOLHOST_OLLAMA": "http://127.0.0.1:9"})
    assert "There is no model" in nowhere.stdout
    elsewhere = toolhost("model", "list", env={"TOOLHOST_OLLAMA": "http://192.0.2.1:11434"})
    assert (elsewhere.returncode, "setting_invalid" in elsewhere.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[models]]\nname = "m"\nprovider = "openai"\n', "`models.model` is required"),
        (MODEL.replace("openai", "oepnai"), 'toolhost.toml:3:12: `provider` is "openai"'),
        (MODEL + 'url = "ftp://x"\n', "`url` is a server's address"),
        (MODEL + 'url = "http://models.example/v1"\nkey_env = "K"\n', "in the clear: use https"),
        (MODEL + 'key_env = "A"\nkey_file = "/b"\n', "A model has one key"),
        (MODEL + 'key_file = "b"\n', "absolute path"),
        (MODEL + 'who = ["root"]\n', "`who` lists roles"),
        (MODEL + MODEL, "have the name 'm'"),
        (MODEL + "temperature = 1\n", "has no key `temperature`"),
        ('[[profiles]]\nname = "p"\nmodel = "m"\n', "names no model"),
        ('[[profiles]]\nname = "p"\ntools = ["files"]\n', "`plugin.*` for all"),
        ("[agent]\nsteps = 0\n", "`agent.steps` must be from 1"),
    ],
)
def test_a_mistake_is_named_with_its_place(toolhost, write, text: str, said: str) -> None:
    write(text)
    done = toolhost("model", "list", env={"TOOLHOST_OLLAMA": "off"})
    assert done.returncode == 2
    assert said in done.stderr, done.stderr
    assert "toolhost.toml:" in done.stderr
