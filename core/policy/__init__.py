"""Policies: what a TOML file grants, and what that means for one call.

store      reads the files               resolve    looks up what a decision depends on
load       one file to one policy        decide     facts and policies to a decision, purely
template   argv templates                planning   to the plan that is shown, approved, enforced, recorded
"""

from toolhost.policy.consider import consider
from toolhost.policy.decide import decide
from toolhost.policy.explain import explain, explain_json
from toolhost.policy.offline import check
from toolhost.policy.planning import plan
from toolhost.policy.policy_set import PolicyFile, PolicySet
from toolhost.policy.problems import Problem
from toolhost.policy.recall import Recall
from toolhost.policy.request import Considered, Facts, Request, ServerFiles, WorkerRuntime
from toolhost.policy.resolve import resolve
from toolhost.policy.store import PolicyStore
from toolhost.policy.values import HostPolicy, NamedWorkspace, Policy, SecretSource
from toolhost.policy.view import limits_view, plan_view
from toolhost.policy.workspace import check_workspace

__all__ = [
    "Considered",
    "Facts",
    "HostPolicy",
    "NamedWorkspace",
    "Policy",
    "PolicyFile",
    "PolicySet",
    "PolicyStore",
    "Problem",
    "Recall",
    "Request",
    "SecretSource",
    "ServerFiles",
    "WorkerRuntime",
    "check",
    "check_workspace",
    "consider",
    "decide",
    "explain",
    "explain_json",
    "limits_view",
    "plan",
    "plan_view",
    "resolve",
]
