"""The numbers that metrics read when somebody looks: what stands ready, who is connected, how it is."""

from __future__ import annotations

from toolhost.metrics import gauge
from toolhost.web.site import Site

__all__ = ["measure"]


def measure(parts: Site) -> None:
    """Show the numbers of one application; without effect where nothing is counted."""
    host = parts.host
    gauge("toolhost_websockets", "Open WebSockets.", lambda: len(parts.sockets))
    gauge("toolhost_workers", "Workers of plugins.", lambda: host.plugins.worker_count)
    gauge(
        "toolhost_sandboxes_armed",
        "Sandboxes that wait for a call.",
        lambda: 0 if host.sandbox is None else host.sandbox.armed,
    )
    gauge("toolhost_healthy", "1 where tools can run, else 0.", lambda: float(host.health() == "ok"))
    gauge("toolhost_policy_problems", "Problems of the policy files.", lambda: len(host.policies.current.problems))
