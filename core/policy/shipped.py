"""What the packaged policies say now that they did not say when they were copied into the policies folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from toolhost.policy.difference import Difference, differences
from toolhost.policy.document import DocumentError, read_bytes
from toolhost.policy.host_file import load_host
from toolhost.policy.load import RESERVED, load_policy
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.values import HostPolicy, Policy

__all__ = ["news"]


def news(seeded: Path, policies: PolicySet) -> Iterator[Difference]:
    """What changed in the packaged policies and is not so in those in force.

    Args:
        seeded: The folder of what was copied; where it lacks a file, all that differs from the one in force is news.
        policies: Those in force.
    """
    packaged = resources.files("toolhost.policies")
    host = load_host(packaged.joinpath("host.toml").read_bytes(), "packaged host.toml", policies.places).host
    assert host is not None
    for source in sorted(packaged.iterdir(), key=lambda file: file.name):
        name, _, ending = source.name.rpartition(".")
        if ending != "toml" or name in RESERVED:
            continue
        shipped = _policy(source.read_bytes(), f"packaged {source.name}", name, host, policies)
        granted = policies.policy(name)
        pending = {found.key: found for found in differences(granted, shipped)}
        try:
            before = read_bytes(seeded / source.name, f"seeded {source.name}")
        except DocumentError:
            yield from pending.values()
            continue
        then = _policy(before, f"seeded {source.name}", name, host, policies)
        yield from (found for found in differences(then, shipped) if found.key in pending)


def _policy(content: bytes, file: str, name: str, host: HostPolicy, policies: PolicySet) -> Policy | None:
    return load_policy(content, file, name, host=host, places=policies.places).policy
