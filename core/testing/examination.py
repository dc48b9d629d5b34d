"""What `toolhost plugin check` finds of a plugin: part by part, from what needs no code of it to what attacks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolhost.errors import ToolHostError
from toolhost.pluginhost.manifest import MANIFEST, Manifest, read_manifest
from toolhost.policy.grants import REQUEST, is_there
from toolhost.policy.lint import lint
from toolhost.policy.offline import read_files
from toolhost.sandbox import SandboxError
from toolhost.testing.attack import KINDS, besieged

__all__ = ["Found", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one part.

    Attributes:
        part: `manifest`, `policy`, `lint`, `tools` or `attack`.
        fine: Whether nothing is to be corrected.
        said: What was found, in words.
    """

    part: str
    fine: bool
    said: str


def examine(folder: Path, *, attack: bool) -> Iterator[Found]:
    """Look at a plugin.

    Args:
        folder: With its `plugin.toml`; its parent holds nothing that matters.
        attack: Whether to attack it as well.
    """
    try:
        manifest = read_manifest(folder / MANIFEST)
    except ToolHostError as error:
        yield _wrong("manifest", error)
        return
    yield Found(part="manifest", fine=True, said=f"{manifest.name} {manifest.version}")
    policy = list(_policy(folder, manifest))
    yield from policy
    if any(found.part == "policy" and not found.fine for found in policy):
        return
    try:
        with besieged(folder) as siege:
            tools = siege.host.tools
            yield Found(part="tools", fine=bool(tools), said=", ".join(tools) or "the policy it asks for grants none")
            for kind in KINDS if attack else ():
                escapes = list(siege.attempt(kind))
                yield from (Found(part="attack", fine=False, said=escape) for escape in escapes)
                if not escapes:
                    yield Found(part="attack", fine=True, said=f"{kind}: contained")
    except (ToolHostError, SandboxError) as error:
        yield _wrong("tools", error)


def _policy(folder: Path, manifest: Manifest) -> Iterator[Found]:
    if not is_there(folder / REQUEST):
        yield Found(part="policy", fine=False, said=f"there is no {REQUEST}: say what the plugin needs")
        return
    declared = {manifest.name: manifest.config}
    parent = folder.parent
    reading = read_files(folder / REQUEST, data=parent / "data", plugins=parent / "none", declared=declared, copy=True)
    for problem in reading.problems:
        yield Found(part="policy", fine=False, said=str(problem).removeprefix(f"{folder}/"))
    for file in reading.files:
        if file.policy is None or file.document is None:
            continue
        if file.policy.plugin != manifest.name:
            yield Found(part="policy", fine=False, said=f"{REQUEST} is for {file.policy.plugin}, not {manifest.name}")
            continue
        yield Found(part="policy", fine=True, said=f"{REQUEST} with {len(file.trials)} examples")
        for finding in lint(file.policy, file.document, reading.host):
            yield Found(part="lint", fine=False, said=str(finding).removeprefix(f"{folder}/"))


def _wrong(part: str, error: ToolHostError | SandboxError) -> Found:
    return Found(part=part, fine=False, said=f"{error.message} {error.hint}".strip())
