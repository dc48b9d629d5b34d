"""Trusted extensions: what they import, and three that come with the host.

An extension is imported into the host process and has all its power. Only the setting `extensions` names one.
"""

from toolhost.extensions.model import Explanation, Identity, IncomingRequest, Objection, Verdict
from toolhost.extensions.options import options

__all__ = ["Explanation", "Identity", "IncomingRequest", "Objection", "Verdict", "options"]
