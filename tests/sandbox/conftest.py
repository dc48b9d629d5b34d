"""The sandbox in a process of the service user."""

from driver import box, state, work

__all__ = ["box", "state", "work"]
