"""What holds for any policy and any command."""

from __future__ import annotations

import random
import string
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st

from toolhost.model import Actor, Tool
from toolhost.policy import Facts, HostPolicy, Policy, Request, plan
from toolhost.policy.compile import compile_template
from toolhost.policy.decide import decide
from toolhost.policy.deny import denies_arguments
from toolhost.policy.offline import read_files
from toolhost.policy.problems import Place
from toolhost.policy.resolve import resolve_example
from toolhost.policy.slots import IntSlot
from toolhost.policy.template import PathValue, Template
from toolhost.policy.units import duration, show_duration, show_size, size
from toolhost.policy.values import DenyRule, RootGrant, Rule, ToolRule, Who
from toolhost.sandbox.plan import Program

EMPTY = [
    "[commands]\nallow = []\nask = []\ninside = []",
    "[tools]\nallow = []\nask = []",
    "[paths]\nread = []\nwrite = []",
    "[network]\nallow = []",
    "[env]\nset = {}\npass = []",
]

WORDS = st.sampled_from(
    ["log", "show", "push", "origin", "a", "x y", "a{b}", "...", "[c]", "d\\e", "é", "it's", '"', ""]
)
FLAGS = ["-n", "-v", "--all", "--count", "--long-flag", "-o", "--color=always"]
SLOTS = ["{text}", "{int}", "{int:1..9}", "{choice:a|b}", "{ref}", "{read}", "{write}", "{regex:[a-z]+}"]


def escaped(word: str) -> str:
    if not word:
        return "''"
    return "\\..." if word == "..." else "".join(f"\\{char}" if char in " []{}\\'\"" else char for char in word)


@st.composite
def templates(draw: st.DrawFn) -> str:
    """The text of a valid template."""
    flags = draw(st.lists(st.sampled_from(FLAGS), unique=True, max_size=4))
    parts = [draw(st.sampled_from(["git", "ls", "/usr/bin/cat"])), *map(escaped, draw(st.lists(WORDS, max_size=2)))]
    for flag in flags:
        between = draw(st.sampled_from([" ", "="])) if flag.startswith("--") else " "
        value = f"{between}{draw(st.sampled_from(SLOTS))}" if "=" not in flag and draw(st.booleans()) else ""
        parts.append(f"[{flag}{value}]" if draw(st.booleans()) else f"[{flag}]" if not value else f"{flag}{value}")
    parts.extend(draw(st.sampled_from([[], ["--"], ["[--]"]])))
    parts.extend(draw(st.lists(st.sampled_from(SLOTS), max_size=2)))
    parts.extend(draw(st.sampled_from([[], ["{read...}"], ["[{text...}]"], ["..."], ["[end]"]])))
    return " ".join(parts)


FITTING = {
    "{text}": st.sampled_from(["a", "a b", "é\n"]),
    "{int}": st.integers(0, 99).map(str),
    "{int:1..9}": st.integers(1, 9).map(str),
    "{choice:a|b}": st.sampled_from(["a", "b"]),
    "{ref}": st.sampled_from(["main", "v1.0"]),
    "{read}": st.sampled_from(["x", "x/y", "/workspace/z"]),
    "{write}": st.sampled_from(["x", "x/y"]),
    "{regex:[a-z]+}": st.sampled_from(["a", "zz"]),
}


@st.composite
def matching(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A template and a command that it matches."""
    parts: list[str] = ["git"]
    command: list[str] = []
    for word in draw(st.lists(WORDS, max_size=2)):
        parts.append(escaped(word))
        command.append(word)
    given_flags: list[list[str]] = []
    for flag in draw(st.lists(st.sampled_from(FLAGS), unique=True, max_size=4)):
        slot = draw(st.sampled_from(SLOTS)) if "=" not in flag and draw(st.booleans()) else None
        optional = slot is None or draw(st.booleans())
        between = draw(st.sampled_from([" ", "="])) if flag.startswith("--") else " "
        text = flag if slot is None else f"{flag}{between}{slot}"
        parts.append(f"[{text}]" if optional else text)
        if not optional or draw(st.booleans()):
            value = draw(FITTING[slot]) if slot else ""
            forms = (
                [[flag]] if slot is None else [[flag, value], [f"{flag}={value}" if flag[1] == "-" else flag + value]]
            )
            given_flags.append(draw(st.sampled_from(forms)))
    for words in draw(st.permutations(given_flags)):
        command += words
    dashes = draw(st.sampled_from([None, "--", "[--]"]))
    if dashes:
        parts.append(dashes)
        if dashes == "--" or draw(st.booleans()):
            command.append("--")
    for slot in draw(st.lists(st.sampled_from(SLOTS), max_size=2)):
        parts.append(slot)
        command.append(draw(FITTING[slot]))
    return " ".join(parts), command


TOKENS = st.one_of(
    st.sampled_from(
        ["git", "log", "push", "a", "b", "5", "--", "-", "-n5", "--count=5", *FLAGS, "../x", "/etc/passwd", ""]
    ),
    st.text(string.printable, max_size=6),
    st.text(max_size=4),
)
COMMANDS = st.lists(TOKENS, max_size=6)


@given(templates())
def test_a_template_printed_and_read_again_is_the_same(text: str) -> None:
    template = compile_template(text)
    assert compile_template(str(template)) == template


@given(matching())
def test_a_command_made_from_a_template_matches_it_in_its_own_spelling(pair: tuple[str, list[str]]) -> None:
    text, command = pair
    template = compile_template(text)
    spelled = template.match(command)
    assert spelled is not None
    plain = [word.flag + word.value if isinstance(word, PathValue) else word for word in spelled]
    assert template.match(plain) == spelled
    assert "".join(plain).replace("=", "") == "".join(command).replace("=", "")


@given(matching(), st.data())
def test_a_command_with_one_more_flag_does_not_match(pair: tuple[str, list[str]], data: st.DataObject) -> None:
    text, command = pair
    end = command.index("--") if "--" in command else len(command)
    at = data.draw(st.integers(0, end))
    assert compile_template(text).match([*command[:at], "--output=x", *command[at:]]) is None


@given(matching())
def test_a_deny_of_the_same_words_catches_all_that_an_allow_matches(pair: tuple[str, list[str]]) -> None:
    text, command = pair
    assert denies_arguments(compile_template(text, deny=True), command)


@given(matching())
def test_what_is_planned_is_the_template_s_spelling_of_what_was_asked(pair: tuple[str, list[str]]) -> None:
    text, command = pair
    policy = granting([rule(text, "allow", 3)], [])
    facts = resolve_example(request(("git", *command)), policy, HostPolicy())
    decision = decide(facts, policy, HostPolicy())
    assert decision.outcome == "allow"
    planned = plan(facts, decision, policy, HostPolicy()).argv
    assert "".join(planned[1:]).replace("=", "") == "".join(command).replace("=", "")


@given(st.lists(templates(), max_size=5), st.data())
def test_the_order_of_rules_never_matters(texts: list[str], data: st.DataObject) -> None:
    rules, denies = drawn(texts, data)
    command = data.draw(COMMANDS)
    first = outcome(rules, denies, command)
    random.Random(0).shuffle(rules)
    assert outcome(list(reversed(rules)), list(reversed(denies)), command) == first
    assert outcome(rules, denies, command) == first


@given(st.lists(templates(), max_size=4), st.data())
def test_a_deny_is_never_lifted_by_another_rule(texts: list[str], data: st.DataObject) -> None:
    rules, denies = drawn(texts, data)
    command = data.draw(COMMANDS)
    if outcome([], denies, command)[1] == "rule_deny":
        assert outcome(rules, denies, command)[1] == "rule_deny"


@given(templates(), COMMANDS)
def test_an_added_allow_never_makes_an_ask_or_a_denial_of_a_deny_weaker(text: str, command: list[str]) -> None:
    ask, allow = rule(text, "ask", 3), rule("git ...", "allow", 4)
    before = outcome([ask], [], command)[0]
    after = outcome([ask, allow], [], command)[0]
    assert before == "deny" or after == before


@given(st.lists(templates(), max_size=4), templates(), st.data())
def test_an_added_allow_never_removes_a_deny(texts: list[str], added: str, data: st.DataObject) -> None:
    rules, denies = drawn(texts, data)
    command = data.draw(COMMANDS)
    before = outcome(rules, denies, command)
    after = outcome([*rules, rule(added, "allow", 90)], denies, command)
    if before[1] == "rule_deny":
        assert after == before


@given(matching(), st.data())
def test_a_deny_of_what_is_allowed_or_asked_denies_it_wherever_it_stands(
    pair: tuple[str, list[str]], data: st.DataObject
) -> None:
    text, command = pair
    kind = data.draw(st.sampled_from(["allow", "ask"]))
    assert outcome([rule(text, kind, 3)], [], command)[0] == kind
    assert outcome([rule(text, kind, 3)], [deny(text, data.draw(st.integers(1, 9)))], command)[1] == "rule_deny"


@given(st.lists(matching(), min_size=1, max_size=6), st.data())
def test_every_rule_that_matches_is_found_and_the_one_that_decides_before_the_others(
    pairs: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    command = data.draw(st.one_of(st.sampled_from([command for _, command in pairs]), COMMANDS))
    rules, denies = drawn([text for text, _ in pairs], data)
    policy = granting(rules, denies)
    found = [one for one in policy.rule_index.candidates(["git"], command) if one.template.match(command) is not None]
    matching = [one for one in rules if one.template.match(command) is not None]
    assert found == sorted(matching, key=lambda one: one.precedence)
    meant = [one for one in denies if denies_arguments(one.template, command)]
    candidates = policy.deny_index.candidates(["git"], None, command)
    assert [one for one in candidates if denies_arguments(one.template, command)] == meant


def test_a_deny_knows_its_program_by_the_file_whatever_name_a_rule_has_for_it() -> None:
    denied = replace(deny("other push", 4), file_id=(7, 8))
    policy = replace(
        granting([rule("git ...", "allow", 3)], [denied]), programs={"git": replace(program("git"), device=7, inode=8)}
    )
    facts = resolve_example(request(("git", "push")), policy, HostPolicy())
    assert decide(facts, policy, HostPolicy()).code == "rule_deny"


@given(st.lists(st.sampled_from(EMPTY), unique=True))
def test_what_is_empty_grants_nothing(parts: list[str]) -> None:
    text = "\n".join(['plugin = "probe"', *parts])
    policy = load(text)
    assert not any(
        (policy.rules, policy.tools, policy.programs, policy.roots, policy.network, policy.env, policy.support)
    )
    assert not policy.executable
    facts = resolve_example(request(("git", "log")), policy, HostPolicy())
    assert decide(facts, policy, HostPolicy()).outcome == "deny"
    assert decide(Facts(request=request(None)), policy, HostPolicy()).outcome == "deny"


@given(COMMANDS)
def test_no_rules_grant_nothing(command: list[str]) -> None:
    assert outcome([], [], command)[:2] == ("deny", "no_rule")


@given(st.lists(st.sampled_from(["allow", "ask", "deny"]), max_size=5))
def test_the_strictest_tool_rule_wins(outcomes: list[str]) -> None:
    rules = tuple(ToolRule(outcome=each, name="run", place=place(at)) for at, each in enumerate(outcomes))  # type: ignore[arg-type]
    policy = Policy(plugin="probe", file="probe.toml", tools=rules, who=Who(place=place(1)))
    facts = Facts(request=request(None))
    strictest = next((each for each in ("deny", "ask", "allow") if each in outcomes), "deny")
    assert decide(facts, policy, HostPolicy()).outcome == strictest


@given(st.text(max_size=30), st.booleans())
def test_a_path_that_is_accepted_by_name_stays_inside(path: str, write: bool) -> None:
    policy = granting([rule("touch {write}" if write else "touch {read}", "allow", 3)], [])
    facts = resolve_example(request(("touch", path)), policy, HostPolicy())
    for match in facts.matches:
        if match.refusal is None:
            spelled = match.arguments[0]
            parts = PurePosixPath("/workspace", spelled).parts
            depth = 0
            for part in parts[2:]:
                depth += -1 if part == ".." else 1
                assert depth >= 0
            assert parts[:2] == ("/", "workspace")
            assert not spelled.startswith("-")
            assert "\0" not in spelled


@given(st.integers(1, 10**8), st.sampled_from("smh"))
def test_durations_are_shown_as_they_are_read(count: int, unit: str) -> None:
    assert duration(show_duration(duration(f"{count}{unit}"))) == duration(f"{count}{unit}")


@given(st.integers(1, 10**6), st.sampled_from("KMG"))
def test_sizes_are_shown_as_they_are_read(count: int, unit: str) -> None:
    assert size(show_size(size(f"{count}{unit}"))) == size(f"{count}{unit}")


@given(st.integers(), st.integers(), st.integers())
def test_an_integer_slot_is_its_range(low: int, high: int, value: int) -> None:
    accepted = IntSlot(low, high).accepts(str(value))
    assert accepted == (low <= value <= high and len(str(abs(value))) <= 18)


@settings(max_examples=30)
@given(templates(), st.integers(0, 3000))
def test_a_long_command_is_matched_without_a_deep_stack(text: str, count: int) -> None:
    compile_template(text).match(["a"] * count)
    denies_arguments(compile_template(text, deny=True), ["a"] * count)


def load(text: str) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.toml"
        file.write_text(text)
        file.chmod(0o644)
        (loaded,) = read_files(file, data=Path("/nonexistent"), plugins=Path("/nonexistent/plugins")).files
    assert loaded.policy is not None, loaded.problems
    return loaded.policy


def drawn(texts: list[str], data: st.DataObject) -> tuple[list[Rule], list[DenyRule]]:
    """Rules of these templates, each an allow, an ask or a deny."""
    rules: list[Rule] = []
    denies: list[DenyRule] = []
    seen = set()
    for line, text in enumerate(texts):
        kind = data.draw(st.sampled_from(["allow", "ask", "deny"]))
        canonical = (kind, str(compile_template(text)))
        if canonical in seen:  # refused when a policy is loaded
            continue
        seen.add(canonical)
        if kind == "deny":
            denies.append(deny(text, line))
        else:
            rules.append(rule(text, kind, line))
    return rules, denies


def outcome(rules: list[Rule], denies: list[DenyRule], command: list[str]) -> tuple[str, str, str | None]:
    """Outcome, code and source of a `git` command under these rules."""
    policy = granting(rules, denies)
    facts = resolve_example(request(("git", *command)), policy, HostPolicy())
    decision = decide(facts, policy, HostPolicy())
    return decision.outcome, decision.code, decision.source


def granting(rules: list[Rule], denies: list[DenyRule]) -> Policy:
    return Policy(
        plugin="probe",
        file="probe.toml",
        rules=tuple(rules),
        denies=tuple(denies),
        programs={name: program(name) for name in ("git", "ls", "touch", "/usr/bin/cat")},
        roots=(RootGrant(path="{workspace}", writable=True, place=place(1)),),
        who=Who(place=place(1)),
    )


def rule(text: str, kind: str, line: int) -> Rule:
    template: Template = compile_template(text)
    return Rule(outcome=kind, text=text, template=template, place=place(line))  # type: ignore[arg-type]


def deny(text: str, line: int) -> DenyRule:
    return DenyRule(text=text, template=compile_template(text, deny=True), place=place(line))


def program(name: str) -> Program:
    return Program(name=name, path=name, target=name, device=0, inode=0, size=0, modified_ns=0, digest="")


def place(line: int) -> Place:
    return Place(file="probe.toml", line=line)


def request(argv: tuple[str, ...] | None) -> Request:
    return Request(
        tool=Tool(name="probe.run", plugin="probe", about="", input_schema={}),
        actor=Actor(user_id="u", username="ada", role="user", channel="cli"),
        argv=argv,
        workspace="/workspace",
    )
