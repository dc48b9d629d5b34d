"""Toolboxes, and what a tool says of itself beside what its policy makes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pluginbench import Bench, Running

from toolhost.policy.annotations import hints_of

TOOLBOX = '''
import asyncio, os, threading, time
from pathlib import Path
from toolhost import ToolContext, Toolbox, ToolError, hookimpl, tool

class Shared(Toolbox):
    def __init__(self):
        self.prepared = 0

    {prepare}
        time.sleep(0.2)
        self.prepared += 1
        if Path("fail").exists():
            Path("fail").unlink()
            raise ToolError("Not yet.", "not_yet")

    {close}
        Path("closed").write_text(str(self.prepared))

    @tool
    def sync(self, word: str) -> str:
        """Say a word.

        Args:
            word: Which.
        """
        return f"{{word}} {{self.prepared}}"

    @tool(name="later")
    async def asynchronous(self, ctx: ToolContext, word: str = "x") -> str:
        """Say a word later."""
        ctx.log("said")
        return f"{{word}} {{self.prepared}}"

    def helper(self) -> str:
        """No tool."""
        return ""

@hookimpl
def register_tools(register):
    register(Shared())
'''


@pytest.mark.parametrize("how", ["def", "async def"])
def test_a_toolbox_is_prepared_once_before_its_first_call_and_closed_with_its_worker(bench: Bench, how: str) -> None:
    code = TOOLBOX.format(prepare=f"{how} prepare(self):", close=f"{how} close(self):")
    policy = 'plugin = "box"\n[tools]\nallow = ["sync", "later"]\n[paths]\nwrite = ["{workspace}"]\n'
    bench.plugin("box", code, policy=policy)
    (bench.workspace / "fail").touch()

    async def scenario(host: Running) -> None:
        assert {tool.name for tool in host.registry.tools() if tool.plugin == "box"} == {"box.sync", "box.later"}
        assert host.tool("box.sync").input_schema["properties"]["word"]["description"] == "Which."
        assert not (host.workspace / "closed").exists(), "describing prepares nothing"
        first = await host.call("box.sync", word="a")
        assert first.worker.error is not None
        assert first.worker.error.code == "not_yet"
        calls = [host.call("box.sync", word="a"), host.call("box.later"), host.call("box.later", word="b")]
        texts = [ran.text for ran in await asyncio.gather(*calls)]
        assert texts == ["a 2", "x 2", "b 2"], "prepared again after it failed, and then once for all"
        await host.registry.close()
        assert (host.workspace / "closed").read_text() == "2"

    bench.run(scenario)


CLAIMS = '''
from toolhost import hookimpl, tool

@tool({said})
def claimed() -> str:
    """Claim."""
    return "fine"

@hookimpl
def register_tools(register):
    register(claimed)
'''
HOST = '"example.org:443"'


@pytest.mark.parametrize(
    ("said", "write", "network", "wrong"),
    [
        ("read_only=True", "", "", False),
        ("read_only=True", '"{workspace}"', "", True),
        ("read_only=True", "", HOST, True),
        ("read_only=False, destructive=True, open_world=True", "", "", False),
        ("destructive=False", '"{workspace}"', "", True),
        ("open_world=False", '"{workspace}"', "", False),
        ("open_world=False", "", HOST, True),
    ],
)
def test_a_promise_that_the_policy_does_not_make_true_keeps_a_plugin_out(
    bench: Bench, said: str, write: str, network: str, wrong: bool
) -> None:
    policy = (
        f'plugin = "claims"\n[tools]\nallow = ["claimed"]\n[paths]\nwrite = [{write}]\n[network]\nallow = [{network}]\n'
    )
    bench.plugin("claims", CLAIMS.format(said=said), policy=policy)

    async def scenario(host: Running) -> None:
        record = host.registry.plugins["claims"]
        assert (record.code == "hint_contradicts_policy") is wrong, record.reason
        if wrong:
            assert "claims.claimed says" in record.reason
        elif not write and not network:
            assert (await host.call("claims.claimed")).text == "fine"

    bench.run(scenario)


def test_annotations_follow_from_what_each_tool_can_run(bench: Bench) -> None:
    command = (
        '[[tools]]\nname = "{name}"\nabout = "A test."\ncommand = "{command}"\ninput.word = {{ type = "string" }}\n'
    )
    tools = "".join(
        command.format(name=name, command=line)
        for name, line in (("here", "git log {word}"), ("away", "git fetch {word}"), ("either", "git {word}"))
    )
    rules = f'[commands]\nallow = ["git log {{text}}", {{ run = "git fetch {{text}}", network = [{HOST}] }}]\n'
    bench.plugin(
        "net", manifest=f'name = "net"\nversion = "1"\nabout = "x"\n{tools}', policy=f'plugin = "net"\n{rules}'
    )
    bench.plugin("worker", CLAIMS.format(said="read_only=False"), policy=f'plugin = "worker"\n{rules}')

    async def scenario(host: Running) -> None:
        found = {
            name: hints_of(host.policies.current.policy(name.partition(".")[0]), host.tool(name))["openWorldHint"]
            for name in ("net.here", "net.away", "net.either", "worker.claimed")
        }
        assert found == {"net.here": False, "net.away": True, "net.either": True, "worker.claimed": True}
        nothing = {"readOnlyHint": True, "destructiveHint": False, "openWorldHint": False}
        assert hints_of(None, host.tool("net.away")) == nothing

    bench.run(scenario)


def test_a_toolbox_without_a_tool_is_explained(bench: Bench) -> None:
    bench.plugin("empty", "from toolhost import Toolbox, hookimpl\n@hookimpl\ndef register_tools(register):\n"
                          "    register(Toolbox())\n")  # fmt: skip

    async def scenario(host: Running) -> None:
        record = host.registry.plugins["empty"]
        assert (record.code, "no method marked with @tool" in record.reason) == ("invalid_tool", True)

    bench.run(scenario)


def test_a_plugin_cannot_implement_a_hook_of_extensions(bench: Bench, space: Path) -> None:
    bench.plugin("grab", "from toolhost import hookimpl\n@hookimpl\ndef transform_result(result): return result\n")

    async def scenario(host: Running) -> None:
        assert host.registry.plugins["grab"].code == "invalid_hook"

    bench.run(scenario)
