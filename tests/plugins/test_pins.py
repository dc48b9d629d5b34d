"""The lock as a file and as a judgement, without a host."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from toolhost.pluginhost.drift import changes
from toolhost.pluginhost.lock import PluginLock
from toolhost.pluginhost.pins import CHECKOUT, PluginPin, ToolPin

TOOL = ToolPin(name="read", about="Reads.", input='{"type":"object"}')
BUNDLED = PluginPin(name="files", version="1", code="sha256:a", host="0.1.0", tools=(TOOL,))


def test_a_bundled_plugin_follows_the_host_and_nothing_else(tmp_path: Path) -> None:
    lock = PluginLock(tmp_path)
    assert lock.hold([BUNDLED]) == {}
    changed = replace(BUNDLED, code="sha256:b")
    assert lock.hold([changed])["files"].code == "plugin_drifted"
    assert lock.hold([replace(changed, host="0.2.0")]) == {}
    assert lock.pinned("files") == replace(changed, host="0.2.0")
    # A host that is newer without a change of the plugin is noted too: the old one no longer excuses anything.
    assert lock.hold([replace(changed, host="0.3.0")]) == {}
    assert lock.hold([replace(changed, host="0.3.0", code="sha256:c")])["files"].code == "plugin_drifted"
    # A plugin dropped in under the name is not part of the host.
    assert lock.hold([replace(changed, host="", code="sha256:d")])["files"].code == "plugin_drifted"


def test_the_plugins_of_a_checkout_change_with_it(tmp_path: Path) -> None:
    lock = PluginLock(tmp_path)
    here = replace(BUNDLED, host="0.1.0" + CHECKOUT)
    assert lock.hold([here]) == {}
    assert lock.hold([replace(here, code="sha256:b")]) == {}


def test_a_lock_that_others_may_write_lets_nothing_in(tmp_path: Path) -> None:
    lock = PluginLock(tmp_path)
    lock.hold([BUNDLED])
    (tmp_path / "lock.toml").chmod(0o666)
    assert lock.hold([BUNDLED])["files"].code == "lock_invalid"


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
TOOLS = st.builds(
    ToolPin,
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True),
    about=TEXTS,
    command=TEXTS,
    cwd=TEXTS,
    input=st.just('{"type":"object","title":"it\'s"}'),
    output=st.sampled_from(["", "{}"]),
)
PINS = st.builds(
    PluginPin,
    name=st.just("any"),
    version=TEXTS.filter(bool),
    code=st.just("sha256:0"),
    host=st.sampled_from(["", "1"]),
    tools=st.lists(TOOLS, max_size=4, unique_by=lambda tool: tool.name).map(
        lambda tools: tuple(sorted(tools, key=lambda tool: tool.name))
    ),
)


@given(PINS, PINS)
def test_any_plugin_is_read_as_it_was_written_and_any_change_is_named(tmp_path_factory, one, other) -> None:
    lock = PluginLock(tmp_path_factory.mktemp("lock"))
    assert lock.hold([one]) == {}
    assert lock.pinned("any") == one
    assert lock.hold([one]) == {}
    assert not list(changes(one, one))
    assert bool(list(changes(one, other))) == (not one.same(other))
