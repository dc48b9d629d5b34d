"""The policies of one moment: what is in force, where each came from, and what is wrong with the files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolhost.policy.config_table import NONE_DECLARED, Declared
from toolhost.policy.places import Places
from toolhost.policy.problems import Problem
from toolhost.policy.values import HostPolicy, Policy

__all__ = ["PolicyFile", "PolicySet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """One file of the policies folder.

    Attributes:
        name: The file's name.
        content: The bytes in force; None where nothing of the file is.
        since: When they came into force as they are, milliseconds since the epoch.
        problems: What is wrong with the file as it is now; then an earlier version of it may be in force.
        stamp: What says that the file is still the one that was read; None where it must be read again.
    """

    name: str
    content: bytes | None = None
    since: int = 0
    problems: tuple[Problem, ...] = ()
    stamp: tuple[int, ...] | None = None

    @property
    def state(self) -> Literal["current", "last_good", "nothing"]:
        """What of it is in force: the file as it is, its last good version, or nothing."""
        if self.content is None:
            return "nothing"
        return "last_good" if self.problems else "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Every policy in force at one moment. Never changed: a reload makes another one.

    Attributes:
        host: The host policy.
        places: The folders no root may touch.
        declared: The settings of the plugins there are.
        policies: What each plugin is granted, by its name.
        host_file: What is known of host.toml.
        files: What is known of each plugin's file, by the plugin's name.
        unlisted: Why the folder could not be listed; then nothing is granted.
    """

    host: HostPolicy
    places: Places
    declared: Declared = field(default_factory=lambda: NONE_DECLARED)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    host_file: PolicyFile
    files: Mapping[str, PolicyFile] = field(default_factory=dict)
    unlisted: tuple[Problem, ...] = ()

    def policy(self, plugin: str) -> Policy | None:
        """The policy of a plugin, or None."""
        return self.policies.get(plugin)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong with the files."""
        files = (self.host_file, *(self.files[name] for name in sorted(self.files)))
        return (*self.unlisted, *(problem for file in files for problem in file.problems))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an administrator should know although the files are valid."""
        return tuple(warning for name in sorted(self.policies) for warning in self.policies[name].warnings)

    def digest(self, plugin: str) -> str:
        """`sha256:` over host.toml and the plugin's file as they are in force."""
        policy = self.policies.get(plugin)
        return policy.digest if policy else "sha256:" + hashlib.sha256(self.host.content).hexdigest()

    def agrees(self, other: PolicySet, plugin: str) -> bool:
        """Whether another set says the same of a plugin."""
        return self.host is other.host and self.policy(plugin) is other.policy(plugin)
