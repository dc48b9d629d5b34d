"""What can be said against a plan before anything is opened."""

from __future__ import annotations

import re

from toolhost.sandbox.destinations import parse_rule
from toolhost.sandbox.errors import PlanRefused
from toolhost.sandbox.plan import MOST_SECRETS, SECRETS, SandboxPlan, is_secret_name

__all__ = ["check_plan"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = (128 << 10) - 1  # MAX_ARG_STRLEN of Linux, without the NUL
_TOTAL = 1 << 20
# The launcher is a shell: these would change how it reads the very script that sets them.
_SHELLS_OWN = frozenset({"IFS", "OPTIND", "PPID", "ENV", "PS4", "LINENO"})
# Places of the sandbox itself; a root mounted there would replace it.
_OWN_PLACES = ("/", "/proc", "/dev", "/tmp", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")  # noqa: S108


def check_plan(plan: SandboxPlan) -> None:
    """Refuse a plan that cannot be carried out exactly as written.

    Raises:
        PlanRefused: With the reason.
    """
    if not plan.argv or not plan.programs or plan.argv[0] != plan.programs[0].path:
        raise PlanRefused("program_missing", "The plan does not start its first program.")
    for value in (*plan.argv, plan.cwd, *(text for pair in plan.env for text in pair)):
        _check_text(value)
    if sum(len(word.encode("utf-8", "surrogateescape")) + 9 for word in plan.argv) > _TOTAL:
        raise PlanRefused(
            "argument_too_long", f"The arguments are longer than {_TOTAL >> 20} MiB.", "Pass data on standard input."
        )
    for name, _ in plan.env:
        if not _NAME.fullmatch(name) or name in _SHELLS_OWN:
            raise PlanRefused(
                "env_name_invalid", f"{name!r} cannot be a variable's name here.", "Rename it in the policy."
            )
    _check_network(plan)
    _check_secrets(plan)
    if not plan.cwd.startswith("/"):
        raise PlanRefused("cwd_missing", f"The working folder {plan.cwd!r} is not an absolute path.")
    limits = plan.limits
    for name in ("wall", "cpu", "memory", "processes", "open_files", "file_size", "output", "scratch"):
        if not getattr(limits, name) > 0:
            raise PlanRefused(
                "limit_invalid", f"The limit `{name}` must be above zero.", f"Set `{name}` in the policy."
            )
    seen: set[str] = set()
    for root in plan.roots:
        _check_text(root.target)
        if not root.target.startswith("/") or "//" in root.target or {".", ".."} & set(root.target.split("/")):
            raise PlanRefused("root_target_invalid", f"{root.target!r} is no place for a root.")
        if (root.target in _OWN_PLACES and (root.writable or root.target != "/etc")) or root.target.startswith(
            ("/proc/", "/dev/")
        ):
            raise PlanRefused(
                "root_target_invalid", f"{root.target!r} belongs to the sandbox itself.", "Choose another folder."
            )
        if root.target in seen:
            raise PlanRefused("root_target_invalid", f"Two roots stand at {root.target!r}.")
        seen.add(root.target)


def _check_network(plan: SandboxPlan) -> None:
    for rule in plan.network:
        try:
            parse_rule(rule)
        except ValueError as error:
            raise PlanRefused("network_invalid", f"{rule!a} is no rule of a network: it {error}.") from None


def _check_secrets(plan: SandboxPlan) -> None:
    if len(plan.secrets) > MOST_SECRETS:
        raise PlanRefused("too_many_secrets", f"A call can have {MOST_SECRETS} secrets.", "Give the plugin fewer.")
    for name in plan.secrets:
        if not is_secret_name(name):
            raise PlanRefused("secret_name_invalid", f"{name!a} cannot be a secret's name.", "Rename it in the policy.")
    inside = [root.target for root in plan.roots if f"{SECRETS}/".startswith(f"{root.target}/")]
    if plan.secrets and inside:
        raise PlanRefused("root_target_invalid", f"{inside[0]} would stand over {SECRETS}.", "Choose another folder.")
    if len(set(plan.secrets)) != len(plan.secrets):
        raise PlanRefused("secret_name_invalid", "Two secrets have one name.", "Rename one in the policy.")


def _check_text(value: str) -> None:
    if "\0" in value:
        raise PlanRefused("nul_in_value", "A NUL byte cannot be part of an argument, a path or a variable.")
    try:
        size = len(value.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise PlanRefused("value_not_bytes", "A value holds a character that is no text (a lone surrogate).") from None
    if size > _LONGEST:
        raise PlanRefused(
            "argument_too_long", f"A value is longer than {_LONGEST} bytes.", "Pass data on standard input."
        )
