"""Rules made of commands."""

from hypothesis import given
from hypothesis import strategies as st

from toolhost.policy.compile import compile_template
from toolhost.policy.learn.templates import generalised

WORDS = st.sampled_from(
    ["a", "1", "22", "main", "x y", "--", "-", "-n", "--long", "--of=1", "", "a|b", "{x}", "[y]", "..."]
)
COMMANDS = st.dictionaries(
    st.lists(WORDS | st.text(max_size=4), max_size=5).map(lambda words: ("echo", *words)),
    st.lists(st.tuples(WORDS, st.booleans()), max_size=2),
    max_size=5,
)


@given(COMMANDS)
def test_a_rule_matches_every_command_it_was_made_of_and_is_never_open(commands) -> None:
    for text, some in generalised(commands):
        template = compile_template(text)
        assert not template.open
        assert str(template) == text
        assert all(template.match(argv[1:]) is not None for argv in some)


def test_a_list_of_paths_of_any_length_is_one_slot() -> None:
    commands = {
        ("ls", "-l", "--", "a"): [("a", False)],
        ("ls", "-l", "--", "a", "/b"): [("a", False), ("/b", False)],
    }
    assert [text for text, _ in generalised(commands)] == ["ls -l -- {read...}"]


def test_what_is_a_path_in_one_command_may_be_a_word_in_another() -> None:
    commands = {("x", "a", "b", "c"): [("a", False)], ("x", "b", "d", "c"): [("b", False)]}
    assert [text for text, _ in generalised(commands)] == ["x {read} {ref} c"]


def test_another_flag_is_another_rule() -> None:
    commands = {("ls", "-l"): [], ("ls", "-a"): [], ("ls", "-l", "x"): [], ("ls", "-l", "7"): []}
    assert [text for text, _ in generalised(commands)] == ["ls -l", "ls -a", "ls -l {ref}"]
