"""What was considered before, for as long as it would be considered alike again.

After `resolve` everything is pure, and most requests name no path: then nothing is looked up but their roots. Such a
request has the same answer, and the same plan, while the policies, everything it says of itself, and those folders are
the same; the folders are compared each time. All that follows from a plan alone is then made once for many calls.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from dataclasses import dataclass
from operator import attrgetter

from toolhost.model import Actor, Tool
from toolhost.policy.consider import consider
from toolhost.policy.policy_set import PolicySet
from toolhost.policy.request import Considered, Request
from toolhost.policy.values import HostPolicy, Policy
from toolhost.sandbox.beneath import open_without_links
from toolhost.sandbox.plan import Root

__all__ = ["Recall"]

_MOST = 256
_LONGEST = 4096  # characters of arguments; what is longer does not come again
_ENCODER = json.JSONEncoder(sort_keys=True, default=repr)  # 1, 1.0 and true are equal, not the same
_OWN = attrgetter(*(name for name in Request.__slots__ if name not in ("tool", "actor", "arguments")))
# Of the actor only what is another in every request is left out: nothing can depend on it.
_WHO = attrgetter(*(name for name in Actor.__slots__ if name != "request_id"))


@dataclass(frozen=True, slots=True)
class _Recalled:
    """What a request came to, and what it was judged by: held, so that no other object gets its identity."""

    considered: Considered
    tool: Tool
    policy: Policy
    host: HostPolicy


class Recall:
    """Considers requests, and remembers the last of those that can be remembered."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[object, ...], _Recalled] = OrderedDict()

    def consider(self, request: Request, policies: PolicySet) -> Considered:
        """What `consider` says. See there."""
        host, policy = policies.host, policies.policy(request.tool.plugin)
        if policy is None:
            return consider(request, policies)
        key = _key(request, policy, host)
        found = self._last.get(key) if key is not None else None
        if found is not None and found.considered.plan is not None and all(map(_stands, found.considered.plan.roots)):
            return found.considered
        considered = consider(request, policies)
        if key is not None and considered.steady and considered.plan is not None:
            self._last[key] = _Recalled(considered, request.tool, policy, host)
            if len(self._last) > _MOST:
                self._last.popitem(last=False)
        return considered


def _key(request: Request, policy: Policy, host: HostPolicy) -> tuple[object, ...] | None:
    """Everything that is asked, and the very policies that judge it; None where it is not to be remembered."""
    arguments = _ENCODER.encode(request.arguments)
    if len(arguments) > _LONGEST:
        return None
    return id(policy), id(host), id(request.tool), _WHO(request.actor), arguments, _OWN(request)


def _stands(root: Root) -> bool:
    """Whether a root is still the file or folder that it was."""
    try:
        fd = open_without_links(root.source)
    except OSError:
        return False
    try:
        facts = os.fstat(fd)
    finally:
        os.close(fd)
    return (facts.st_dev, facts.st_ino) == (root.device, root.inode)
