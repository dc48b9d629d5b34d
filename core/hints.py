"""What stands beside a command to make a person look twice: its script taken apart, and what is often harmful.

Nothing here decides anything. No reading of a script can say what it does: a name can be put together while it runs,
and a command can be spelled in ways that no pattern foresees. What a script can reach is what its sandbox holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["RISKS", "Risk", "Script", "Unclear", "risks", "script_of"]

Risk = Literal[
    "removes_from_the_root",
    "writes_to_a_disk",
    "makes_a_file_system",
    "forks_without_end",
    "opens_a_connection_by_name",
    "starts_an_interactive_shell",
    "listens_or_runs_for_a_peer",
    "runs_what_it_decodes",
]

RISKS: tuple[tuple[Risk, str], ...] = (
    ("removes_from_the_root", r"rm\s+-rf\s+/"),
    ("writes_to_a_disk", r">\s*/dev/[hs]d"),
    ("makes_a_file_system", r"mkfs\."),
    ("forks_without_end", r":\(\)\s*\{\s*:\s*\|\s*:\s*&\s*\}\s*;\s*:"),
    ("opens_a_connection_by_name", r"/dev/tcp/"),
    ("starts_an_interactive_shell", r"bash\s+-i"),
    ("listens_or_runs_for_a_peer", r"\bnc\s+-[el]"),
    ("runs_what_it_decodes", r"eval\s+.*base64"),
)
"""Each hint and the expression it is given for: known to miss other spellings, and to hit what is harmless."""

Unclear = Literal["too_long", "not_understood", "computed_command", "runs_text"]

_LONGEST = 8192  # bytes of a script that is taken apart: the page waits for it
_OPENERS = b"|$({`[<"
_DEEPEST = 512  # of those together: what nests or chains takes the parser more than linear time
_NAMED = 40
_SHORT = 80
_SHELLS = frozenset({"bash", "dash", "ksh", "sh", "zsh"})
_RUN_TEXT = frozenset({".", "alias", "eval", "exec", "source", "trap"})
_REDIRECTS = frozenset({"file_redirect", "heredoc_redirect", "herestring_redirect"})
_SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script as far as it can be read without running it.

    Attributes:
        commands: Names that stand where a command is called, each once, in order.
        redirections: Where output goes and input comes from, as written.
        pipes: How many pipelines there are.
        substitutions: How many commands stand in for a text or a file.
        unclear: What could not be told.
    """

    commands: tuple[str, ...] = ()
    redirections: tuple[str, ...] = ()
    pipes: int = 0
    substitutions: int = 0
    unclear: tuple[Unclear, ...] = ()


def script_of(argv: Sequence[str]) -> Script | None:
    """The script that a command hands to a shell, taken apart; None where it hands none."""
    if len(argv) < 3 or argv[0].rpartition("/")[2] not in _SHELLS or argv[1] != "-c":
        return None
    return _read(argv[2])


def risks(argv: Sequence[str]) -> tuple[Risk, ...]:
    """The hints that a command gives cause for, in their fixed order."""
    text = " ".join(argv).encode("utf-8", "replace").decode()  # the engine takes no half of a surrogate pair
    return tuple(name for name, expression in _expressions() if expression.search(text))


@lru_cache(maxsize=64)
def _read(text: str) -> Script:
    source = text.encode("utf-8", "replace")
    if len(source) > _LONGEST or sum(map(source.count, map(bytes, zip(_OPENERS, strict=True)))) > _DEEPEST:
        return Script(unclear=("too_long",))
    commands: dict[str, None] = {}
    redirections: dict[str, None] = {}
    unclear: dict[Unclear, None] = {}
    pipes = substitutions = 0
    for node in _nodes(_parser().parse(source).root_node):
        if node.is_error or node.is_missing:
            unclear["not_understood"] = None
        elif node.type == "command_name":
            name = _plain(node)
            if name is None:
                unclear["computed_command"] = None
                continue
            commands[name] = None
            if name in _RUN_TEXT or name in _SHELLS:
                unclear["runs_text"] = None
        elif node.type in _REDIRECTS:
            redirections[_short(_text(node))] = None
        elif node.type == "pipeline":
            pipes += 1
        elif node.type in _SUBSTITUTIONS:
            substitutions += 1
    return Script(
        commands=tuple(commands)[:_NAMED],
        redirections=tuple(redirections)[:_NAMED],
        pipes=pipes,
        substitutions=substitutions,
        unclear=tuple(unclear),
    )


def _nodes(root: Node) -> Iterator[Node]:
    """Every node, in order; without recursion, because a script can nest as deep as it likes."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _plain(name: Node) -> str | None:
    """A command's name where it is written out; None where the shell makes it, or unquotes it, first."""
    text = _text(name)
    return _short(text) if text and not any(char in text for char in "\\'\"$`*?[{~") else None


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


@cache
def _parser() -> Parser:
    # Imported here: only a page that shows a script pays for it.
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


@cache
def _expressions() -> tuple[tuple[Risk, Any], ...]:
    import re2

    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    return tuple((name, re2.compile(expression, options=options)) for name, expression in RISKS)
