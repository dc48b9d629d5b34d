"""What a plugin asks for and what it is granted: two files, and only a person makes the second of the first.

A plugin may ship `policy.request.toml`. It is a policy in every respect but one: nothing comes of it until a person has
read it and agreed, which writes it into the policies folder as the plugin's policy.
"""

from __future__ import annotations

import os
from pathlib import Path

from toolhost.errors import PluginError, UsageError
from toolhost.policy.difference import Difference, differences
from toolhost.policy.document import DocumentError, read_bytes
from toolhost.policy.load import Loaded, load_policy
from toolhost.policy.patience import is_settled, patiently
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.values import Policy

__all__ = ["DISABLED", "REQUEST", "beyond", "grant_text", "is_there", "proposed", "put", "set_aside"]

REQUEST = "policy.request.toml"
"""The file beside plugin.toml in which a plugin says what it needs."""

DISABLED = ".disabled"
"""What follows the name of a policy file that was taken out of force."""

_SCHEMA = b"#:schema ./policy.schema.json"


def proposed(path: Path, plugin: str, policies: PolicySet) -> Loaded:
    """Read a file as the policy it would be if it were the plugin's.

    Args:
        path: The plugin's request, or a policy that was taken out of force.
        plugin: The plugin's name.
        policies: Those in force, whose host policy it has to respect.
    """

    def read() -> Loaded:
        try:
            content = read_bytes(path, str(path))
        except DocumentError as error:
            return Loaded(problems=(error.problem,))
        return load_policy(
            content,
            str(path),
            plugin,
            host=policies.host,
            places=policies.places,
            declared=policies.declared,
        )

    return patiently(read, lambda loaded: all(map(is_settled, loaded.problems)))


def is_there(path: Path) -> bool:
    """Whether there is anything of this name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def beyond(granted: Policy | None, asked: Policy) -> list[Difference]:
    """What is asked beyond what is granted, the riskiest first."""
    return [found for found in differences(granted, asked) if found.effect != "narrower" and found.new is not None]


def grant_text(content: bytes) -> bytes:
    """A request as the policy file that grants it."""
    return content if content.startswith(_SCHEMA) else _SCHEMA + b"\n" + content


def put(path: Path, content: bytes) -> None:
    """Write a policy file in one step, where there is none yet.

    Raises:
        UsageError: `grant_exists`.
        PluginError: `grant_not_writable`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, 0o644)
                file.write(content)
                file.flush()
                os.fsync(fd)
            path.hardlink_to(temporary)  # unlike a rename, never over a file that is there
        finally:
            temporary.unlink()
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise _not_writable(path, error) from error


def set_aside(path: Path) -> Path:
    """Take a policy file out of force, under another name.

    Raises:
        UsageError: `not_enabled` where there is none, `grant_exists` where one was taken out of force before.
        PluginError: `grant_not_writable`.
    """
    aside = path.with_name(path.name + DISABLED)
    try:
        aside.hardlink_to(path)
        path.unlink()
    except FileNotFoundError:
        raise UsageError("not_enabled", f"There is no {path}: nothing is granted.") from None
    except FileExistsError:
        raise _exists(aside) from None
    except OSError as error:
        raise _not_writable(path, error) from error
    return aside


def _exists(path: Path) -> UsageError:
    return UsageError("grant_exists", f"{path} is there already.", "Read it, then move it away or remove it.")


def _not_writable(path: Path, error: OSError) -> PluginError:
    return PluginError(
        "grant_not_writable",
        f"{path} cannot be written: {error.strerror}.",
        f"Whoever {path.parent} belongs to can write it by hand.",
    )
