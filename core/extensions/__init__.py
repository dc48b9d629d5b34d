"""Trusted extensions: what they import, and three that come with the host.

An extension is imported into the host process and has all its power. Only the setting `extensions` names one.
"""

from toolhost.extensions.model import Identity, IncomingRequest, Verdict
from toolhost.extensions.options import options

__all__ = ["Identity", "IncomingRequest", "Verdict", "options"]
