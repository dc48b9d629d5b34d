"""For the tests of plugins: a whole host in a folder of its own, with a real sandbox and a record of every call.

    from toolhost.testing import make_host

    with make_host(plugins=["src/weather"], policy="policy.toml") as host:
        assert host.call("weather.today", place="Oslo").status == "ok"

The host is the same that serves people: policies are checked and decide, workers and commands run in their sandboxes,
what is not granted is denied. It needs Linux with bubblewrap and a user who is not root. pytest has it as the fixture
`toolhost_host`, and `pytest --toolhost-attack` tries a plugin under its own policy (see `docs/plugins.md`).
"""

from toolhost.testing.hosts import PluginHost, RecordedCall, make_host

__all__ = ["PluginHost", "RecordedCall", "make_host"]
