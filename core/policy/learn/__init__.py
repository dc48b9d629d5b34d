"""What a policy lacked: proposals from calls that were denied or failed, each tried by the loader before it is shown.

observed    a call that did not work         symptoms    what a run that failed was lacking
templates   commands to one rule             denials     what a denied call was lacking
draft       proposals, and a policy with them            learning    all of it together
"""

from toolhost.policy.learn.draft import Proposal
from toolhost.policy.learn.learning import Learned, learn
from toolhost.policy.learn.observed import Failure, Note

__all__ = ["Failure", "Learned", "Note", "Proposal", "learn"]
