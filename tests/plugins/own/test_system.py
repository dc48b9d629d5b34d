"""The `system` plugin under a policy that asks: what `toolhost.testing` says of decisions and of what ran."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from toolhost.testing import PluginHost

GRANT = """plugin = "system"
[commands]
ask = ["uname --all"]
"""


@pytest.fixture
def host(toolhost_host: Callable[..., PluginHost]) -> PluginHost:
    return toolhost_host(policy=GRANT)


def test_what_asks_runs_only_when_it_is_approved(host: PluginHost) -> None:
    assert host.decide("system.uname").outcome == "ask"
    assert host.call("system.uname").status == "approval_required"
    assert host.call("system.uname", approve=True).stdout.startswith("Linux")
    assert host.calls[-1].argv is not None
    assert host.calls[-1].argv[1:] == ("--all",)
    assert all(name.startswith("system.") for name in host.tools)
