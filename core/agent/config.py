"""Models, profiles and limits of the agent, as `toolhost.toml` has them. Reading them calls nobody."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from toolhost.errors import UsageError
from toolhost.settings import is_loopback

if TYPE_CHECKING:
    from toolhost.policy.table import Located, Table
    from toolhost.settings import Settings

__all__ = ["PROVIDERS", "AgentSettings", "Caps", "Key", "ModelSpec", "Profile", "Provider", "read_agent"]

Provider = Literal["openai", "anthropic"]
PROVIDERS: tuple[Provider, ...] = ("openai", "anthropic")

_ROLES = ("admin", "operator", "user", "viewer")
_USUAL = frozenset({"admin", "operator", "user"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,63}")
_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
_CONTEXT = 32_768
_OUTPUT = 4_096
_LARGEST_KEY = 16 << 10

_MODEL_KEYS = ("name", "provider", "model", "url", "key_env", "key_file", "key_credential", "context", "output", "who")
_PROFILE_KEYS = ("name", "about", "model", "prompt", "tools", "who")
_AGENT_KEYS = ("steps", "tool_calls", "tokens", "seconds", "runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where a provider's key is. The key itself is read when it is used, and kept nowhere.

    Attributes:
        kind: `env`, `file` or `credential`.
        name: Of the variable, the file, or the systemd credential.
    """

    kind: str
    name: str

    def read(self, environ: Mapping[str, str] = os.environ) -> str:
        """The key.

        Raises:
            UsageError: `model_key_missing`.
        """
        try:
            if self.kind == "env":
                text = environ.get(self.name, "")
            elif self.kind == "file":
                text = _text_of(Path(self.name))
            else:
                text = _text_of(Path(environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / self.name)
        except (OSError, ValueError) as error:
            raise UsageError("model_key_missing", f"The key in {self} cannot be read: {error}.") from None
        if not text.strip() or not text.strip().isprintable():
            raise UsageError("model_key_missing", f"There is no key in {self}.", "An administrator sets it.")
        return text.strip()

    def __str__(self) -> str:
        return {"env": "the variable ", "file": "the file ", "credential": "the credential "}[self.kind] + self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model that may answer.

    Attributes:
        name: What people choose it by.
        provider: The protocol it is spoken to in: `openai` is every compatible server.
        model: Its name there.
        url: The server.
        key: Where the key is, or None where none is needed.
        context: Tokens it can take in and give together.
        output: Tokens of one answer.
        who: The roles that may choose it.
        found: Whether it was found and not configured.
    """

    name: str
    provider: Provider
    model: str
    url: str
    key: Key | None = None
    context: int = _CONTEXT
    output: int = _OUTPUT
    who: frozenset[str] = _USUAL
    found: bool = False

    @property
    def local(self) -> bool:
        """Whether what is said to it stays on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A way to be answered.

    Attributes:
        name: What people choose it by.
        about: One sentence for people.
        model: The model that answers, or None for the conversation's.
        prompt: What the model is told besides what the host tells it.
        tools: The tools it may call: names, or `plugin.*`. None for all of its person's; empty for none.
        who: The roles that may choose it.
    """

    name: str
    about: str = ""
    model: str | None = None
    prompt: str = ""
    tools: tuple[str, ...] | None = None
    who: frozenset[str] = _USUAL

    def allows(self, tool: str) -> bool:
        """Whether a tool may be called under it."""
        return self.tools is None or tool in self.tools or f"{tool.partition('.')[0]}.*" in self.tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How far one run may go.

    Attributes:
        steps: Answers of the model.
        tool_calls: Calls.
        tokens: Read and written together, over all steps.
        seconds: Of the model's answers and the tools; waiting for a person does not count.
        runs: One person's runs at a time that a model answers.
    """

    steps: int = 30
    tool_calls: int = 100
    tokens: int = 1_000_000
    seconds: int = 1_200
    runs: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Everything the agent is told.

    Attributes:
        models: In the order of the file; the first that a person may use answers them by default.
        profiles: Likewise.
        caps: The limits of a run.
        ollama: Where to look for Ollama on this machine, or None.
    """

    models: tuple[ModelSpec, ...] = ()
    profiles: tuple[Profile, ...] = ()
    caps: Caps = field(default_factory=Caps)
    ollama: str | None = None


def read_agent(settings: Settings) -> AgentSettings:
    """Read the sections `models`, `profiles` and `agent` of the settings file.

    Raises:
        UsageError: `setting_invalid`, with file, line and column.
    """
    with settings.file.reading() as top:
        models = [model for table in top.tables("models", _MODEL_KEYS) if (model := _model(table)) is not None]
        profiles = [one for table in top.tables("profiles", _PROFILE_KEYS) if (one := _profile(table, models))]
        _unique(top, "models", models)
        _unique(top, "profiles", profiles)
        agent = top.table("agent", _AGENT_KEYS)
        given = {name: agent.count(name) for name in _AGENT_KEYS}
        return AgentSettings(
            models=tuple(models),
            profiles=tuple(profiles),
            caps=Caps(**{name: value for name, value in given.items() if value is not None}),
            ollama=_ollama(settings.ollama),
        )


def _ollama(text: str) -> str | None:
    if text == "off":
        return None
    parts = urlsplit(text)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise UsageError(
            "setting_invalid",
            f"The setting ollama is {text!r}; it takes an http address of this machine, or `off`.",
            "An Ollama of another machine goes under [[models]].",
        )
    return text.rstrip("/")


def _model(table: Table) -> ModelSpec | None:
    name, model = _name(table), table.text("model", required='"qwen3:8b"')
    provider = table.text("provider", required='"openai"')
    if name is None or model is None or provider is None:
        return None
    kind = next((known for known in PROVIDERS if known == provider.text), None)
    if kind is None:
        table.problem(
            provider.place,
            "bad_value",
            '`provider` is "openai" (any server that speaks its protocol: Ollama, llama.cpp, vLLM, LM Studio) or '
            '"anthropic".',
        )
        return None
    url, key = table.text("url"), _key(table)
    address = url.text.rstrip("/") if url is not None else _URLS[kind]
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        table.problem(table.place("url"), "bad_value", "`url` is a server's address: https://models.example/v1.")
    elif parts.scheme == "http" and key is not None and not is_loopback(parts.hostname):
        table.problem(
            table.place("url"), "bad_value", "`url` would send the key over the network in the clear: use https."
        )
    return ModelSpec(
        name=name,
        provider=kind,
        model=model.text,
        url=address,
        key=key,
        context=table.count("context") or _CONTEXT,
        output=table.count("output") or _OUTPUT,
        who=_who(table),
    )


def _profile(table: Table, models: Iterable[ModelSpec]) -> Profile | None:
    name, about, prompt, model = _name(table), table.text("about"), table.text("prompt"), table.text("model")
    if model is not None and model.text not in {one.name for one in models}:
        table.problem(model.place, "bad_value", f"`model` names no model of [[models]]: {model.text!r}.")
    tools = tuple(item.text for item in table.strings("tools"))
    for item in table.strings("tools"):
        if not re.fullmatch(r"[a-z0-9_-]+\.([a-zA-Z0-9_-]+|\*)", item.text):
            table.problem(
                item.place, "bad_value", "A tool is written `plugin.tool`, or `plugin.*` for all of a plugin's."
            )
    if name is None:
        return None
    return Profile(
        name=name,
        about=_of(about),
        model=None if model is None else model.text,
        prompt=_of(prompt),
        tools=tools if "tools" in table else None,
        who=_who(table),
    )


def _name(table: Table) -> str | None:
    name = table.text("name", required='"local"')
    if name is not None and not _NAME.fullmatch(name.text):
        table.problem(name.place, "bad_value", "`name` has lower-case letters, digits and any of . _ : / - in it.")
        return None
    return None if name is None else name.text


def _key(table: Table) -> Key | None:
    given = [(kind, text) for kind in ("env", "file", "credential") if (text := table.text(f"key_{kind}")) is not None]
    for _, text in given[1:]:
        table.problem(
            text.place, "bad_value", "A model has one key: of `key_env`, `key_file` and `key_credential`, one."
        )
    for kind, text in given[:1]:
        if kind == "file" and not text.text.startswith("/"):
            table.problem(text.place, "bad_value", "`key_file` is an absolute path.")
        if kind == "credential" and "/" in text.text:
            table.problem(text.place, "bad_value", "`key_credential` is the name of a systemd credential.")
        return Key(kind=kind, name=text.text)
    return None


def _who(table: Table) -> frozenset[str]:
    if "who" not in table:
        return _USUAL
    roles = table.strings("who")
    for role in roles:
        if role.text not in _ROLES:
            table.problem(role.place, "bad_value", f"`who` lists roles: {', '.join(_ROLES)}.")
    return frozenset(role.text for role in roles)


def _unique(top: Table, section: str, items: Iterable[ModelSpec | Profile]) -> None:
    names = [item.name for item in items]
    for number, name in enumerate(names):
        if name in names[:number]:
            top.problem(top.place(section, number), "bad_value", f"Two of [[{section}]] have the name {name!r}.")


def _of(text: Located | None) -> str:
    return "" if text is None else text.text


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LARGEST_KEY + 1)
    if len(data) > _LARGEST_KEY:
        raise ValueError(f"it has more than {_LARGEST_KEY} bytes")
    return data.decode()
