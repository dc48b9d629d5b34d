"""Folders, hosts and switches that grant more than one plugin needs."""

from __future__ import annotations

import os
from collections.abc import Iterator

from toolhost.policy.document import Document, KeyPath
from toolhost.policy.problems import Problem
from toolhost.policy.values import WORKSPACE, Policy, RootGrant
from toolhost.sandbox.programs import is_trusted

__all__ = ["wide_grants"]

_WIDE = {
    "/srv": "all that this machine serves",
    "/var": "logs, mail, databases and spools of the whole machine",
    "/var/lib": "the state of every program of the machine",
    "/var/www": "every site of this machine",
    "/opt": "all software that was added to the machine",
    "/mnt": "every disk that is mounted there",
    "/media": "every disk that is mounted there",
    "/usr": "all software of the machine",
    "/data": "a whole disk",
}
"""Places that hold more than one project, with what they hold."""

_KEYS = (".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".kube", ".netrc", ".git-credentials", ".pgpass", ".env")
"""Where keys and passwords lie in a folder."""

_SHARED = {
    "github.io": "anybody's pages",
    "githubusercontent.com": "anybody's files",
    "amazonaws.com": "anybody's buckets and machines",
    "cloudfront.net": "anybody's sites",
    "azurewebsites.net": "anybody's sites",
    "windows.net": "anybody's storage",
    "googleapis.com": "anybody's storage",
    "appspot.com": "anybody's programs",
    "workers.dev": "anybody's programs",
    "pages.dev": "anybody's sites",
    "herokuapp.com": "anybody's programs",
    "ngrok.io": "anybody's own machine",
    "vercel.app": "anybody's sites",
    "netlify.app": "anybody's sites",
}
"""Domains below which anybody can have a name."""


def wide_grants(policy: Policy, document: Document) -> Iterator[Problem]:
    """What of a policy's roots, hosts and switches is wider than one plugin is likely to need."""
    for root in policy.roots:
        if root.path != WORKSPACE:
            yield from _root(policy, root)
    for path, rule in _hosts(document):
        yield from _host(document, path, rule)
    for number, data in enumerate(policy.support):
        if os.path.lexists(data) and not is_trusted(data):
            message = (
                f"{data} can be changed by others than root, and programs load from there. Run: chown -R root {data}"
            )
            yield Problem.at(document.value(("support", number)), "support_changeable", message)
    if policy.executable and any(root.writable for root in policy.roots):
        message = "With `exec` a tool can write a program and start it: the list of programs bounds nothing then."
        yield Problem.at(document.key(("exec",)), "exec_writable", f"{message} Say `# because ...` if that is meant.")


def _root(policy: Policy, root: RootGrant) -> Iterator[Problem]:
    what = _WIDE.get(root.path) or ("a whole place of the machine" if root.path.count("/") == 1 else "")
    if what:
        message = f"{root.path} is {what}: name the folder that is needed, or say `# because ...`."
        yield Problem.at(root.place, "wide_root", message)
    held = [name for name in _KEYS if os.path.lexists(f"{root.path}/{name}") and name not in policy.hidden]
    if held:
        message = (
            f"{root.path} holds {', '.join(held)}, where keys and passwords lie: hide them by `deny` in [paths], "
            "or say `# because ...`."
        )
        yield Problem.at(root.place, "root_holds_keys", message)


def _hosts(document: Document) -> Iterator[tuple[KeyPath, str]]:
    for number, rule in enumerate(document.data.get("network", {}).get("allow", ())):
        yield ("network", "allow", number), rule
    commands = document.data.get("commands", {})
    for key in ("allow", "ask"):
        for at, entry in enumerate(commands.get(key, ())):
            for number, rule in enumerate(entry.get("network", ()) if isinstance(entry, dict) else ()):
                yield ("commands", key, at, "network", number), rule


def _host(document: Document, path: KeyPath, rule: str) -> Iterator[Problem]:
    domain = rule.partition(":")[0].removeprefix("*.")
    if rule == "*":
        what = "every host there is"
    elif rule.startswith("*.") and (
        shared := next((s for s in _SHARED if domain == s or s.endswith(f".{domain}")), "")
    ):
        what = f"{_SHARED[shared]}, because anybody can have a name below {shared}"
    else:
        return
    message = f"`{rule}` is {what}: what is read can be sent to anybody. Name the hosts, or say `# because ...`."
    yield Problem.at(document.value(path), "wide_host", message)
