"""What is valid in a policy and still likely not meant: wide grants, rules that decide nothing, programs that do more.

A finding about what is granted is answered by a reason: `because` in the rule, or a comment `# because ...` on its line
or on the line above. A rule that can never decide anything has no such answer: it is taken out or repaired.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from toolhost.policy.document import Document
from toolhost.policy.lint.grants import wide_grants
from toolhost.policy.lint.reach import wide_rules
from toolhost.policy.lint.unmet import unmet_rules
from toolhost.policy.problems import Problem
from toolhost.policy.values import HostPolicy, Policy

__all__ = ["lint"]

_REASON = re.compile(r"#[^\n]*?\bbecause\b:?\s+\S")


def lint(
    policy: Policy, document: Document, host: HostPolicy, tools: Collection[str] | None = None
) -> tuple[Problem, ...]:
    """The findings of a policy, in the order of its file.

    Args:
        policy: The policy, valid.
        document: Its file.
        host: The host policy.
        tools: The tools of its plugin, without its name; None where they are not known.
    """
    answered = frozenset(_answered(document.text))
    wide = (*wide_rules(policy), *wide_grants(policy, document))
    found = [
        *unmet_rules(policy, document, host, tools),
        *(problem for problem in wide if problem.line not in answered),
    ]
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column, problem.code)))


def _answered(text: str) -> Iterator[int]:
    """The lines that have a reason beside or above them."""
    for number, line in enumerate(text.split("\n"), start=1):
        if _REASON.search(line):
            yield number
            if line.lstrip().startswith("#"):
                yield number + 1
