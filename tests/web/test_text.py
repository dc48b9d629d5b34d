"""Texts: the catalogues, the templates, and what others wrote made safe to look at."""

import html
import re
import string
import tomllib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.calls.words import parse_line, parse_words
from toolhost.model import Tool
from toolhost.web.forms import fields_of
from toolhost.web.language import Languages
from toolhost.web.spelling import spell
from toolhost.web.visible import prose, visible, visible_text

WEB = Path(__file__).parents[2] / "web"
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
STATIC = sorted(path for path in (WEB / "static").rglob("*") if path.is_file())


def flat(table: dict, prefix: str = "") -> dict[str, str]:
    found = {}
    for key, value in table.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return found


def catalogue(code: str) -> dict[str, str]:
    found = {}
    for path in (WEB / "locale" / f"{code}.toml", *sorted((WEB / "locale" / code).iterdir())):
        part = flat(tomllib.loads(path.read_text()))
        assert not found.keys() & part.keys(), path
        found |= part
    return found


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_the_languages_say_the_same_things() -> None:
    english, french = catalogue("en"), catalogue("fr")
    told = set(flat(tomllib.loads((WEB / "locale" / "fr" / "calls.toml").read_text())))
    assert english.keys() == french.keys() - told
    assert {key for key in english if placeholders(english[key]) != placeholders(french[key])} == set()


def test_every_text_a_template_asks_for_exists() -> None:
    known = catalogue("en")
    for path in TEMPLATES:
        for key in re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", path.read_text()):
            assert key in known, f"{path.name}: {key}"
        for key in re.findall(r"""t\.count\(["']([\w.]+)["']""", path.read_text()):
            assert f"{key}.one" in known, f"{path.name}: {key}"


def test_whatever_the_checklist_finds_is_said_in_each_language() -> None:
    english, source = catalogue("en"), (WEB.parent / "core" / "checklist.py").read_text()
    boxes = re.findall(r'case="(\w+)",\s+said="([^"]+)"(?:,\s+fix="([^"]+)")?', source)
    assert len(boxes) == source.count("case=")
    for case, said, fix in boxes:
        assert english[f"finding.{case}"] == said
        assert not fix or english.get(f"remedy.{case}", fix) == fix


NO_QUARANTINE = {
    *("folder_exists", "folder_not_writable", "grant_exists", "grant_not_writable", "lock_not_writable", "not_enabled"),
    *("plugin_name_invalid", "plugin_not_found", "request_missing", "testing_as_root", "unknown_plugin"),  # commands
    *("result_too_large", "secret_not_granted", "server_asks_back", "tool_raised", "unserialisable_result"),  # calls
    "worker_closed",
}
"""What is said of plugins, and is no reason to keep one out of service."""


NOT_ON_A_PAGE = {
    *("tool_failed", "command_failed"),  # a tool's own words
    *("house_rule", "no_host", "unknown_command", "secret_key_given", "session_missing", "password_missing"),
    *("call_running", "decision_invalid", "message_invalid", "scope_unknown", "unknown_message_type"),
}
"""What only programs, authors and the command line are told."""


def codes_of(section: str) -> set[str]:
    """The codes of one table of the reference."""
    errors = (WEB.parent / "docs" / "reference" / "errors.md").read_text()
    table = errors.partition(f"## {section}\n")[2].partition("\n## ")[0].partition("\nThe [bundled")[0]
    codes = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert len(codes) > 20
    return codes


def test_whatever_the_host_says_has_french_words_by_its_code() -> None:
    french, root = catalogue("fr"), WEB.parent
    assert {f"reason.{code}" for code in codes_of("Decisions")} <= french.keys()
    problems = codes_of("Policy files") - {"as_expected", "uncovered"}  # no problems
    assert {f"problem.{code}" for code in problems} <= french.keys()
    assert {f"quarantine.{code}" for code in codes_of("Plugins") - NO_QUARANTINE} <= french.keys()
    refused = {code for section in ("Calls", "Models and runs", "Accounts and HTTP") for code in codes_of(section)}
    worded = {key.partition(".")[2] for key in french if key.startswith(("call_error.", "error.", "quarantine."))}
    assert refused - NOT_ON_A_PAGE <= worded
    said = re.findall(r'^    "(\w+)": "([^"]+)",$', (root / "core" / "calls" / "foreseen.py").read_text(), re.MULTILINE)
    said += re.findall(r'case="(\w+)",\s+said="([^"]+)"', (root / "core" / "health.py").read_text())
    assert len(said) > 20
    for code, words in said:
        text = french.get(f"change_note.{code}") or french[f"looked.{code}"]
        assert placeholders(text) == placeholders(words) or code == "failed"
    for code in re.findall(r"`(file_\w+)`", (root / "sandbox" / "collect.py").read_text()):
        assert f"change_note.unshown_{code}" in french


@pytest.mark.parametrize(
    ("cookie", "accept", "chosen"),
    [
        (None, None, "en"),
        (None, "fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        (None, "de, en;q=0.5, fr;q=0.7", "fr"),
        (None, "fr;q=0, en", "en"),
        (None, "*;q=broken,,;", "en"),
        ("fr", "en", "fr"),
        ("xx", "fr", "fr"),
    ],
)
def test_the_language_is_the_persons_choice_then_the_browsers(cookie, accept, chosen) -> None:
    assert Languages().choose(cookie, accept).code == chosen


def test_french_keeps_its_marks_on_the_line_of_their_word_and_counts_in_octets() -> None:
    french, english = (Languages().choose(code, None) for code in ("fr", "en"))
    assert not [text for text in french.strings.values() if re.search(r" [:;?!»]|« ", text)]
    assert not [text for text in french.strings.values() if "U+202F" in prose(text)]
    assert all("U+202F" in marked for marked in (prose("rm\u202f-rf"), visible("no\u202f: of others")))
    assert [french.units(amount) for amount in ("512 MiB", "20 B", "30 s")] == ["512 Mio", "20 o", "30 s"]
    assert english.units("512 MiB") == "512 MiB"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_inline_script_style_or_handler(path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert "|safe" not in text.replace(" ", "")


@pytest.mark.parametrize("path", [*TEMPLATES, *STATIC], ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    text = re.sub(r"http://127\.0\.0\.1:(8001|11434)/", "", text)
    assert not re.search(r"""https?://|["'(]//""", re.sub(r"\$\{scheme\}://", "", text))


@given(st.text())
def test_nothing_hidden_reaches_the_page(text) -> None:
    shown = html.unescape(re.sub(r"<span class=\"mark\"[^>]*>|</span>", "", str(visible(text))))
    assert not [
        char for char in shown if unicodedata.category(char) in ("Cf", "Cs") or (char < " " and char not in "\n\t")
    ]
    assert "<" not in str(visible(text)).replace('<span class="mark"', "").replace("</span>", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain <b>&", "plain &lt;b&gt;&amp;"),
        ("a\nb\tc", "a\nb\tc"),
        ("\x1b[31m", "␛[31m"),
        ("\u202egnp.exe", "‹U+202E›gnp.exe"),
        ("zero\u200bwidth", "zero‹U+200B›width"),
        ("\U000e0041tag", "‹U+E0041›tag"),
        ("café 日本", "café 日本"),
    ],
)
def test_hidden_characters_are_named(text, shown) -> None:
    assert html.unescape(visible_text(text)) == html.unescape(shown)
    assert re.sub(r"<[^>]*>", "", str(visible(text))) == shown


def test_a_sentence_with_backticks_is_escaped_all_the_same() -> None:
    assert str(prose("denies `<b> x`.")) == "denies <code>&lt;b&gt; x</code>."
    assert str(prose("one ` <i>")) == "one ` &lt;i&gt;"


SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "flag": {"type": "boolean"},
        "many": {"type": "array", "items": {"type": "string"}},
        "any": {"type": "object"},
    },
    "required": ["count"],
}
TOOL = Tool(name="plug.tool", plugin="plug", about="", input_schema=SCHEMA)
WORDS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "text": WORDS,
            "count": st.integers(),
            "flag": st.booleans(),
            "many": st.lists(WORDS),
            "any": st.dictionaries(WORDS, st.integers()),
        },
    )
)
def test_the_line_shown_for_a_form_makes_the_same_call(arguments) -> None:
    name, words = parse_line(spell(TOOL, arguments))
    assert name == "plug.tool"
    assert parse_words(TOOL, words) == arguments


def test_a_form_asks_for_what_the_schema_takes() -> None:
    kinds = {field.name: field.kind for field in fields_of(TOOL)}
    assert kinds == {"count": "number", "text": "lines", "flag": "boolean", "many": "list", "any": "json"}
    assert fields_of(TOOL)[0].name == "count"
    choice = Tool(
        name="p.t", plugin="p", about="", input_schema={"properties": {"c": {"type": "string", "enum": ["a", "b"]}}}
    )
    assert fields_of(choice)[0].choices == ("a", "b")
