"""Approvals: what a person is asked, what they answer, and the grants an answer can leave behind.

terms       what a yes is a yes to: the two digests, and the text of a grant
questions   the questions, each answered once, by its own person, within ten minutes
grants      the yeses that count again: in one conversation, or for thirty days
"""

from toolhost.approvals.grants import Grant, Grants
from toolhost.approvals.questions import LIFETIME_MS, Answer, Approvals, Question
from toolhost.approvals.terms import (
    STANDING_DAYS,
    Scope,
    Terms,
    approval_digest,
    grant_text,
    rules_digests,
    scopes_of,
    terms_of,
)

__all__ = [
    "LIFETIME_MS",
    "STANDING_DAYS",
    "Answer",
    "Approvals",
    "Grant",
    "Grants",
    "Question",
    "Scope",
    "Terms",
    "approval_digest",
    "grant_text",
    "rules_digests",
    "scopes_of",
    "terms_of",
]
