"""Argv templates: what they match, what is spawned, and what is no template."""

import pytest

from toolhost.policy.compile import TemplateError, compile_template
from toolhost.policy.template import PathValue

LOG = "git log [--oneline] [-n|--count {int:1..500}] [--] [{read...}]"


def match(template: str, line: str) -> list[str] | None:
    """The spelled arguments, path values in angle brackets."""
    found = compile_template(template).match(line.split()[1:])
    return (
        found
        if found is None
        else [f"{word.flag}<{word.value}>" if isinstance(word, PathValue) else word for word in found]
    )


@pytest.mark.parametrize(
    ("template", "line", "spawned"),
    [
        (LOG, "git log", "log"),
        (LOG, "git log --oneline -n 5", "log --oneline -n 5"),
        (LOG, "git log -n 5 --oneline", "log -n 5 --oneline"),
        (LOG, "git log -n5", "log -n 5"),
        (LOG, "git log --count=5", "log --count 5"),
        (LOG, "git log --count 5 -- a b", "log --count 5 -- <a> <b>"),
        (LOG, "git log a b", "log <a> <b>"),
        (LOG, "git log -- -x", "log -- <-x>"),
        (LOG, "git log --", "log --"),
        ("cat {read}", "cat -x", "<-x>"),
        ("cat {read...}", "cat - -x y", "<-> <-x> <y>"),
        ("ls [{read...}]", "ls -x", "<-x>"),
        ("cp {read...} {write}", "cp a b c", "<a> <b> <c>"),
        ("cp {read...} {write}", "cp a c", "<a> <c>"),
        ("git status [-- {read...}]", "git status", "status"),
        ("git status [-- {read...}]", "git status -- a", "status -- <a>"),
        ("git -C {read} log [--oneline]", "git -C x log --oneline", "-C <x> log --oneline"),
        ("find {read} -name {text} -type f", "find . -name -x -type f", "<.> -name -x -type f"),
        ("sort [--sort size] {read}", "sort --sort size a", "--sort size <a>"),
        ("sort [--sort size] {read}", "sort --sort=size a", "--sort size <a>"),
        ("bash -c {text}", "bash -c ls", "-c ls"),
        ("bash -c {text}", "bash -c -x", "-c -x"),
        ("seek {int}", "seek 7", "7"),
        ("seek [-o {int:-5..5}]", "seek -o -3", "-o -3"),
        ("make {choice:all|clean}", "make clean", "clean"),
        ("tool ...", "tool -x --y=z -- w", "-x --y=z -- w"),
        ("tool [--a] ...", "tool --a -x", "--a -x"),
        ("tool [{text}] end", "tool end", "end"),
        ("tool [{text}] end", "tool end end", "end end"),
        ("tool --color=always", "tool --color=always", "--color=always"),
        ("tool --color=always", "tool --color always", "--color=always"),
        ("ls [--color={choice:auto|never}] [-l]", "ls -l --color=never", "-l --color=never"),
        ("ls [--color={choice:auto|never}] [-l]", "ls --color never -l", "--color=never -l"),
        ("ls --color={text} {read}", "ls --color=-x a", "--color=-x <a>"),
        ("ls -w|--width={int}", "ls -w5", "-w 5"),
        ("ls -w|--width={int}", "ls --width 5", "--width=5"),
        ("go test [-run={text}] [-count=1]", "go test -count=1 -run=One", "test -count=1 -run=One"),
        ("go test [-run={text}]", "go test -run One", "test -run=One"),
        ("sort --output={write} {read}", "sort --output=a b", "--output=<a> <b>"),
    ],
)
def test_a_command_that_matches_is_spawned_in_the_templates_spelling(template: str, line: str, spawned: str) -> None:
    assert match(template, line) == spawned.split()


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (LOG, "git"),
        (LOG, "git status"),
        (LOG, "git log -n 0"),
        (LOG, "git log -n 501"),
        (LOG, "git log -n"),
        (LOG, "git log -n 5 -n 6"),
        (LOG, "git log -n 5 --count 6"),
        (LOG, "git log --onelin"),
        (LOG, "git log --coun=5"),
        (LOG, "git log --output=x"),
        (LOG, "git log -p"),
        (LOG, "git log a --oneline"),
        (LOG, "git log a -- b"),
        (LOG, "git log -"),
        (LOG, "git --oneline log"),
        ("git log [--oneline]", "git log -- --oneline"),
        ("git log [--oneline] {read}", "git log --oneline"),
        ("git log", "git log --"),
        ("git log", "git log x"),
        ("tail -n {int} {read}", "tail x"),
        ("tail -n {int} {read}", "tail -n 5"),
        ("tail -n {int} {read}", "tail -n 5 -f"),
        ("grep [-n] {text} {read...}", "grep -f/etc/passwd x"),
        ("grep [-n] -- {text}", "grep -- -x"),
        ("seek {int}", "seek 07"),
        ("seek {int}", "seek +7"),
        ("seek {int}", "seek -7"),
        ("seek {int}", "seek ٧"),
        ("make {choice:all|clean}", "make all clean"),
        ("tool [--stat]", "tool --stat=1"),
        ("sort [--sort size] {read}", "sort --sort name a"),
        ("tool --a --b", "tool --a"),
        ("tool -xyz", "tool -xy"),
        ("ls [-l] [-a]", "ls -la"),
        ("ls --color={choice:auto|never}", "ls --color"),
        ("ls --color={choice:auto|never}", "ls --color=always"),
        ("ls --color={choice:auto|never}", "ls --color=auto --color=never"),
        ("ls --color={choice:auto|never}", "ls --colo=auto"),
        ("ls --color=auto", "ls --color=never"),
        ("go test -run={text}", "go test -r un=One"),
        (f"tool {'[{text}] ' * 40}[b {{int}}] x", f"tool {'a ' * 30}"),
    ],
)
def test_a_command_that_says_anything_else_does_not_match(template: str, line: str) -> None:
    assert match(template, line) is None


@pytest.mark.parametrize(
    ("template", "offset", "words"),
    [
        ("", 0, "starts with the name of a program"),
        ("{text}", 0, "starts with the name of a program"),
        ("[ls]", 0, "starts with the name of a program"),
        ("git log [--oneline", 8, "never closed"),
        ("git log --oneline]", 17, "without"),
        ("git log {read", 8, "never closed"),
        ("git log {red}", 8, "Did you mean `read`?"),
        ("git log {int:9..1}", 8, "range from low to high"),
        ("git log {int:x}", 8, "range from low to high"),
        ("git log {choice:}", 8, "needs its words"),
        ("git log {choice:a||b}", 8, "empty or repeated"),
        ("git log {regex:(}", 8, "no pattern of RE2"),
        ("git log {text:x}", 8, "takes nothing after it"),
        ("git log [[x]]", 9, "do not nest"),
        ("git log []", 8, "Empty brackets"),
        ("git log [-n {int} {int}]", 8, "one flag and at most one value"),
        ("git log [-a -b]", 8, "one flag and at most one value"),
        ("git log [-n {int...}]", 12, "one value"),
        ("git log [x -n]", 11, "give it its own"),
        ("git log|show", 4, "alternatives are for flags"),
        ("git log -n|count {int}", 8, "every name of a flag begins with"),
        ("git log [-n|-n]", 9, "names a flag twice"),
        ("git log [-n] [-n]", 13, "stands twice"),
        ("git -- log --", 11, "stands twice"),
        ("git -- log [-n]", 11, "After `--` nothing is a flag"),
        ("cp {read...} {write...}", 13, "Two lists"),
        ("git ... push", 4, "stands last"),
        ("mkfs* {read}", 0, "only a deny"),
        ("./git log", 0, "a name or an absolute path"),
        ("bin/git log", 0, "a name or an absolute path"),
        ("/usr/../bin/git log", 0, "a name or an absolute path"),
        ("--bind / /", 0, "no name of a program"),
        ("curl {url:x}", 5, "takes nothing"),
        ("ls --color={text...}", 11, "one value"),
        ("ls [--color={text} {read}]", 19, "has its value already"),
        ("ls [--color=auto {read}]", 17, "has its value already"),
        ("ls [{read} --color={text}]", 11, "give it its own"),
        ("ls --color={text} [--color=auto]", 18, "stands twice"),
        ("ls -w={int}", 3, "without `=`: -w {...}"),
        ("ls --color=auto|never", 3, "write --color={choice:auto|never}"),
        ("ls color={text}", 9, "inside a word"),
        ("sh -c 'x", 6, "write \\' for the character"),
        ("sh -c '{text}'", 7, "a slot stands alone"),
        ("sh -c 'rm ...'", 10, "three dots"),
    ],
)
def test_what_is_no_template_is_refused_at_its_character(template: str, offset: int, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(template)
    assert words in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("sh -c 'echo a'", ["-c", "echo a"]),
        ("sh -c \"echo 'a'\"", ["-c", "echo 'a'"]),
        ('sh -c "a \\" \\\\ $b"', ["-c", 'a " \\ $b']),
        ("git log --format='%h %s'", ["log", "--format=%h %s"]),
        ("say don\\'t ''", ["don't", ""]),
        ("say a' 'b", ["a b"]),
        ("say '[x] \\ }'", ["[x] \\ }"]),
    ],
)
@pytest.mark.parametrize("deny", [False, True])
def test_quotes_hold_a_word_together_as_in_a_shell(written: str, words: list[str], deny: bool) -> None:
    template = compile_template(written, deny=deny)
    assert template.match(words) == tuple(words)
    assert compile_template(str(template), deny=deny) == template
