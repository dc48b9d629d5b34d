"""For the tests of plugins: a whole host in a folder of its own, with a real sandbox and a record of every call.

    from toolhost.testing import make_host

    with make_host(plugins=["src/weather"], policy="policy.toml") as host:
        assert host.call("weather.today", place="Oslo").status == "ok"

The host is the same that serves people: policies are checked and decide, workers and commands run in their sandboxes,
what is not granted is denied. It needs Linux with bubblewrap and a user who is not root. pytest has it as the fixture
`toolhost_host`, and `pytest --toolhost-attack` tries a plugin under its own policy (see `docs/plugins.md`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolhost.testing.hosts import PluginHost, RecordedCall, make_host

__all__ = ["PluginHost", "RecordedCall", "make_host"]


def __getattr__(name: str) -> Any:
    """What is imported when it is used: every pytest of an environment imports this package, for its plugin."""
    if name in __all__:
        from toolhost.testing import hosts

        return getattr(hosts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
