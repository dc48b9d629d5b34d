"""MCP servers of others, unmodified, as plugins: they work, and they reach what their policy grants and no more."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import own
from hosted import Hosted
from internet import Internet, internet  # noqa: F401  # a fixture
from pluginbench import Bench, Running
from thirdparty import EVERYTHING, FETCH, FILESYSTEM, GIT, installed, manifest, policy

pytestmark = installed
WORKSPACE = '[paths]\nwrite = ["{workspace}"]'


async def said(host: Running, name: str, **arguments: Any) -> tuple[str, str]:
    """Status and text of a call."""
    reply = (await host.call(name, **arguments)).worker
    return reply.status, "\n".join(str(part["text"]) for part in reply.content if part["type"] == "text")


def test_the_filesystem_server_works_in_the_workspace_and_finds_nothing_outside(bench: Bench) -> None:
    tools = ("write_file", "read_text_file", "list_directory", "move_file", "read_media_file")
    bench.plugin("fs", manifest=manifest("fs", FILESYSTEM), policy=policy("fs", FILESYSTEM, tools, more=WORKSPACE))
    (bench.workspace / "out").symlink_to("/etc/hostname")
    (bench.workspace / "up").symlink_to("..")
    (bench.workspace / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    async def scenario(host: Running) -> None:
        assert len(host.registry.plugins["fs"].tools) > 10
        assert host.consider("fs.create_directory", {"path": "/workspace/a"}).decision.code == "no_rule"
        assert (await said(host, "fs.write_file", path="/workspace/a.txt", content="kept"))[0] == "ok"
        assert (bench.workspace / "a.txt").read_text() == "kept"
        assert (await said(host, "fs.read_text_file", path="/workspace/a.txt")) == ("ok", "kept")
        assert (await said(host, "fs.read_text_file", path="a.txt")) == ("ok", "kept")
        media = (await host.call("fs.read_media_file", path="/workspace/dot.png")).worker
        assert {"type": "image", "media_type": "image/png", "size": 8, "data": "iVBORw0KGgo="} in media.content
        for path in (
            "/etc/hostname",
            "/workspace/out",
            "/workspace/up/policies/fs.toml",
            "/workspace/../plugin/plugin.toml",
        ):
            status, text = await said(host, "fs.read_text_file", path=path)
            assert status == "error", (path, text)
        for path in ("/tmp/../etc/x", "/workspace/up/x", "/plugin/x", str(bench.policies / "x.toml")):
            assert (await said(host, "fs.write_file", path=path, content="x"))[0] == "error", path
        status, _ = await said(
            host, "fs.move_file", source="/workspace/a.txt", destination="/workspace/.git/hooks/pre-commit"
        )
        assert status == "error"

    bench.run(scenario, timeout=120)


def test_the_server_that_has_everything_is_understood(bench: Bench) -> None:
    tools = ("echo", "get-sum", "get-tiny-image", "get-structured-content", "trigger-long-running-operation", "get-env",
             "get-resource-reference")  # fmt: skip
    bench.plugin("all", manifest=manifest("all", EVERYTHING), policy=policy("all", EVERYTHING, tools))

    async def scenario(host: Running) -> None:
        assert await said(host, "all.echo", message="hello") == ("ok", "Echo: hello")
        assert "3" in (await said(host, "all.get-sum", a=1, b=2))[1]
        image = (await host.call("all.get-tiny-image")).worker
        assert [part["type"] for part in image.content] == ["text", "image", "text"]
        weather = (await host.call("all.get-structured-content", location="New York")).worker
        assert set(weather.value) == {"temperature", "conditions", "humidity"}
        progress: list[Any] = []
        long = await host.call("all.trigger-long-running-operation", duration=0.2, steps=2, on_progress=progress.append)
        assert long.worker.status == "ok"
        assert [one["done"] for one in progress] == [1, 2]
        assert "Resource 1" in (await said(host, "all.get-resource-reference", resourceType="Text", resourceId=1))[1]
        assert '"HOME": "/tmp"' in (await said(host, "all.get-env"))[1]

    bench.run(scenario, timeout=120)


def test_the_git_server_reads_a_repository_and_runs_nothing_that_it_says(
    bench: Bench, git_repository: Callable[..., Path]
) -> None:
    tools = ("git_status", "git_log", "git_diff_unstaged", "git_add")
    rules = policy("vcs", GIT, tools, inside='"git"', more=WORKSPACE)
    bench.plugin("vcs", manifest=manifest("vcs", GIT), policy=rules)
    folder = git_repository("Begin")
    (folder / "file0.txt").write_text("changed\n")
    with (folder / ".git" / "config").open("a") as file:
        file.write('[core]\n\tfsmonitor = "touch /workspace/pwned"\n\tpager = touch /workspace/pwned\n')
        file.write('[diff]\n\texternal = touch /workspace/pwned\n[alias]\n\tstatus = "!touch /workspace/pwned"\n')
        file.write('[filter "x"]\n\tclean = touch /workspace/pwned\n')
    (folder / ".gitattributes").write_text("* filter=x\n")
    own(folder)

    async def scenario(host: Running) -> None:
        async def here(name: str, **more: Any) -> tuple[str, str]:
            reply = (await host.call(name, workspace=folder, repo_path="/workspace", **more)).worker
            return reply.status, "\n".join(str(part.get("text")) for part in reply.content)

        status, text = await here("vcs.git_status")
        assert status == "ok"
        assert "file0.txt" in text
        status, text = await here("vcs.git_log")
        assert "Begin" in text
        await here("vcs.git_diff_unstaged")
        await here("vcs.git_add", files=["file0.txt"])
        outside = await said(host, "vcs.git_status", repo_path=str(folder))
        assert outside[0] == "error", "by its name on the host it is not there"
        assert not (folder / "pwned").exists()

    bench.run(scenario, timeout=120)


@pytest.fixture(scope="module")
def fetching(internet: Internet) -> Iterator[Hosted]:  # noqa: F811
    """A host in a small internet, with the fetch server, which may reach one host of it."""
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    made = folder / "data" / "plugins" / "web"
    made.mkdir(parents=True)
    (made / "plugin.toml").write_text(manifest("web", FETCH))
    host = Hosted(
        folder,
        prefix=internet.prefix(),
        web=policy("web", FETCH, ("fetch",), more='[network]\nallow = ["ok.com:80"]'),
    )
    yield host
    host.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_the_fetch_server_reaches_the_hosts_of_its_policy_and_each_connection_is_recorded(fetching: Hosted) -> None:
    made = fetching.ask(120, tool="web.fetch", arguments={"url": "http://ok.com/hello"})
    assert made["status"] == "ok", made
    assert "hello from ok.com" in made["stdout"]
    assert made["sandbox"]["network"] == ["ok.com:80"]
    assert made["sandbox"]["counted_by"] == "process"
    assert made["sandbox"]["kind"] == "worker"
    denied = fetching.ask(tool="web.fetch", arguments={"url": "http://evil.com/"})
    assert denied["status"] == "error"
    records = [one for one in fetching.records() if one["event"] == "egress.connection"]
    told = {(one["details"]["host"], one["details"]["code"], one["call_id"]) for one in records}
    assert ("ok.com", "ok", made["call_id"]) in told
    assert ("evil.com", "destination_not_allowed", denied["call_id"]) in told
