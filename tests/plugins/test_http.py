"""The `http` plugin: servers that the policy names, in a small internet of the test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import own
from hosted import Hosted
from internet import Internet
from pluginbench import POLICIES

from toolhost import Response

POLICY = (POLICIES / "http.toml").read_text()


def test_as_shipped_no_server_is_reached_and_the_error_says_who_can_change_that(ada) -> None:
    for name, more in (("fetch", {}), ("download", {"path": "x"}), ("request", {"method": "GET"})):
        refused = ada.call(f"http.{name}", url="https://example.org/a", **more)
        assert refused["error"]["code"] == "destination_not_allowed", refused
        assert "An administrator can add the host to [network] in http.toml" in refused["error"]["message"]
    assert not (ada.workspace / "x").exists()


def test_reading_is_allowed_where_a_server_is_named_and_the_rest_asks(ada) -> None:
    assert ada.decided("http.fetch", url="https://example.org/") == "allow"
    assert ada.decided("http.download", url="https://example.org/", path="x") == "ask"
    assert ada.decided("http.request", url="https://example.org/") == "ask"
    assert ada.denied("http.download", url="https://example.org/", path="/etc/x")
    assert ada.fails("http.fetch", url="https://example.org/", limit=0) == "invalid_arguments"
    assert ada.fails("http.request", url="https://example.org/", method="TRACE") == "invalid_arguments"


@pytest.fixture(scope="module")
def online(internet) -> Iterator[Hosted]:
    folder = Path(tempfile.mkdtemp(prefix="toolhost-test-", dir="/tmp"))
    folder.chmod(0o755)
    hosted = Hosted(
        folder,
        prefix=internet.prefix(),
        http=POLICY.replace("allow = []", 'allow = ["ok.com:80", "ok.com:443"]'),
        git='[commands]\nallow = [{ run = "git push --no-verify {text} {ref}", network = ["ok.com:443"] }]\n'
        '[paths]\nwrite = ["{workspace}"]\n',
    )
    yield hosted
    hosted.close()
    shutil.rmtree(folder, ignore_errors=True)


def call(host: Hosted, name: str, **arguments: Any) -> dict[str, Any]:
    own(host.workspace)
    return host.ask(tool=f"http.{name}", arguments=arguments, workspace=str(host.workspace), approve=True)


@pytest.mark.works("http.fetch")
def test_a_page_becomes_the_text_that_a_reader_sees(online: Hosted) -> None:
    shown = call(online, "fetch", url="https://ok.com/page", links=True)["stdout"]
    assert shown == (
        "Café & more\n\n[Home](https://ok.com/)\n\n# Menu\n\nOne two three.\nFour\n\n- tea\n"
        "- [cake](https://ok.com/cake?a=1&b=2)\n\n1. first\n\nwhat | price\ntea | 2\n\n```\na  b\n  c\n```\n\n"
        "[image: A cup]\n\nlast"
    )
    assert "evil()" in call(online, "fetch", url="http://ok.com/page", raw=True)["stdout"]
    story = call(online, "fetch", url="http://ok.com/article", limit=40)["stdout"]
    assert story.startswith("## Story\n\nword word")
    assert story.endswith("[more from character 40 of 509: start=40]")
    assert "below" not in story
    assert call(online, "fetch", url="http://ok.com/article", start=500)["stdout"] == "word word"


@pytest.mark.works("http.download", "http.request")
def test_other_texts_come_as_they_are_and_files_are_saved(online: Hosted) -> None:
    assert call(online, "fetch", url="http://ok.com/data.json")["stdout"] == '{\n  "a": [\n    1,\n    2\n  ]\n}'
    missing = call(online, "fetch", url="http://ok.com/missing")["stdout"]
    assert missing == "http://ok.com/missing (404)\n\nnothing here\n"
    assert call(online, "fetch", url="http://ok.com/image.png")["error"]["code"] == "not_text"
    saved = call(online, "download", url="http://ok.com/image.png", path="i.png")
    assert saved["stdout"] == "Saved 6 bytes (image/png) as i.png."
    assert (online.workspace / "i.png").read_bytes() == b"\x89PNG\0\0"
    assert call(online, "download", url="http://ok.com/a", path="i.png")["error"]["code"] == "exists_already"
    assert call(online, "download", url="http://ok.com/missing", path="m")["error"]["code"] == "http_status"
    assert call(online, "download", url="http://ok.com/big", path="big")["error"]["code"] == "too_large"
    assert not (online.workspace / "big").exists()
    posted = call(online, "request", url="http://ok.com/x", body="hello", headers={"X-Mine": "1"})["stdout"]
    assert posted.startswith("200\n")
    assert posted.endswith("\n\nhello from ok.com\n")


@pytest.mark.parametrize(
    "charset", ["punycode", "PunyCode", "idna", "undefined", "unicode_escape", "hex", "zip", "none"]
)
def test_a_charset_of_no_page_is_not_tried(charset: str) -> None:
    """Python has codecs that take hours for a few megabytes, and some that are no encoding of texts."""
    answer = Response(headers={"content-type": f"text/plain; charset={charset}"}, body=b"x" * 2_000_000 + b"-zzz\\n")
    assert answer.text == "x" * 2_000_000 + "-zzz\\n"


def test_a_redirect_to_a_server_that_is_not_named_is_not_followed(online: Hosted) -> None:
    assert call(online, "fetch", url="http://ok.com/away")["error"]["code"] == "destination_not_allowed"
    assert call(online, "fetch", url="http://loop.org/")["error"]["code"] == "destination_not_allowed"


@pytest.mark.works("git.push")
def test_git_pushes_to_a_server_that_its_rule_names(online: Hosted, internet: Internet, git_repository) -> None:
    repository = git_repository("First commit")
    pushed = online.ask(
        tool="git.push",
        arguments={"remote": "https://ok.com/repo/", "ref": "main:refs/heads/from-here"},
        workspace=str(repository),
    )
    assert pushed["decision"]["code"] == "no_rule", "a ref is no pair of them"
    pushed = online.ask(
        tool="git.push", arguments={"remote": "https://ok.com/repo/", "ref": "main"}, workspace=str(repository)
    )
    assert pushed["status"] == "ok", pushed["stderr"]
    assert (internet.folder / "repo" / ".git" / "refs" / "heads" / "main").is_file()
