"""The sandbox in a process of the service user."""

from driver import box, state, work
from internet import internet, online

__all__ = ["box", "internet", "online", "state", "work"]
