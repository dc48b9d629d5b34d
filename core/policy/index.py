"""Which rules can mean a command: found by the words they fix, so that a thousand others are never tried.

An index only leaves out what cannot match. Whether a rule matches is for the rule to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from toolhost.policy.compile import GLOB
from toolhost.policy.template import Flags, Literal, Place, Template, is_flag, unglue

if TYPE_CHECKING:
    from toolhost.policy.values import DenyRule, Rule

__all__ = ["DenyIndex", "RuleIndex"]


class RuleIndex:
    """Allows and asks by the words they begin with, and by the flags that may follow those.

    `git log [-n {int}] {ref}` is found by `git` and `log`, and where a flag follows, by `-n`.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._by_start: dict[tuple[str, ...], _Start] = {}
        self._longest = 0
        for rank, rule in enumerate(sorted(rules, key=lambda rule: rule.precedence)):
            words = tuple(_first_words(rule.template))
            start = self._by_start.setdefault((rule.template.program, *words), _Start())
            start.add(rank, rule, rule.template.places[len(words) :])
            self._longest = max(self._longest, len(words) + 1)

    def candidates(self, names: Iterable[str], arguments: Sequence[str]) -> Iterator[Rule]:
        """The rules that can match, those first that decide before the others.

        Args:
            names: The program, by the names that a rule may write for it.
            arguments: What follows it.
        """
        found: dict[int, Rule] = {}
        for name in names:
            for end in range(min(self._longest, len(arguments) + 1)):
                start = self._by_start.get((name, *arguments[:end]))
                if start is not None:
                    start.find(arguments[end] if end < len(arguments) else "", found)
        return (found[rank] for rank in sorted(found))

    def nearest(self, argv: Sequence[str]) -> Iterator[Rule]:
        """The rules of a command's program, or all where it has none: those first that share most of its words."""
        return (self._words.get(argv[0]) or self._all_words).nearest(set(argv))

    @cached_property
    def _words(self) -> dict[str, _Words]:
        found: dict[str, list[Rule]] = {}
        for rule in self._rules:
            found.setdefault(rule.template.program, []).append(rule)
        return {program: _Words(rules) for program, rules in found.items()}

    @cached_property
    def _all_words(self) -> _Words:
        return _Words(self._rules)


class _Start:
    """The rules that begin with the same words."""

    def __init__(self) -> None:
        self._any: list[tuple[int, Rule]] = []
        self._with_flags: list[tuple[int, Rule]] = []
        self._by_flag: dict[str, list[tuple[int, Rule]]] = {}

    def add(self, rank: int, rule: Rule, places: Sequence[Place]) -> None:
        """Take in a rule. `places`: what follows the words."""
        if not places or not isinstance(places[0], Flags) or rule.template.open:
            self._any.append((rank, rule))
            return
        self._with_flags.append((rank, rule))
        for name in places[0].by_name:
            self._by_flag.setdefault(name, []).append((rank, rule))

    def find(self, token: str, found: dict[int, Rule]) -> None:
        """Add the rules that can match if this argument follows the words."""
        found.update(self._any)
        if not is_flag(token):
            found.update(self._with_flags)
        else:  # a rule that has flags here, and does not end in any arguments, has no other place for it
            found.update(self._by_flag.get(token, ()))
            for name, _ in unglue(token):
                found.update(self._by_flag.get(name, ()))


def _first_words(template: Template) -> Iterator[str]:
    for place in template.places:
        if not isinstance(place, Literal):
            return
        yield place.text


class _Words:
    """Rules by the words in them."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = sorted(rules, key=lambda rule: rule.text)
        self._having: dict[str, list[int]] = {}
        for at, rule in enumerate(self._rules):
            for word in set(rule.text.split()):
                self._having.setdefault(word, []).append(at)

    def nearest(self, words: Iterable[str]) -> Iterator[Rule]:
        shared = Counter[int]()
        for word in words:
            having = self._having.get(word, ())
            if len(having) < len(self._rules):  # what all of them have tells none from another
                shared.update(having)
        yield from (self._rules[at] for at in sorted(shared, key=lambda at: (-shared[at], at)))
        yield from (rule for at, rule in enumerate(self._rules) if at not in shared)


class DenyIndex:
    """Denies by the program they mean, and by a word without which they do not match."""

    def __init__(self, denies: Sequence[DenyRule]) -> None:
        self._denies = denies
        self._by_program: dict[str | tuple[int, int] | None, dict[str | None, list[int]]] = {}
        for at, rule in enumerate(denies):
            word = next((place.text for place in rule.template.places if isinstance(place, Literal)), None)
            program = rule.template.program if GLOB.isdisjoint(rule.template.program) else None
            for key in {program, rule.file_id or program}:
                self._by_program.setdefault(key, {}).setdefault(word, []).append(at)

    def __bool__(self) -> bool:
        return bool(self._denies)

    def candidates(
        self, names: Iterable[str], file_id: tuple[int, int] | None, arguments: Iterable[str]
    ) -> Iterator[DenyRule]:
        """The denies that can mean a command, in the order of the file.

        Args:
            names: Every name of its program.
            file_id: Device and inode of the program, or None.
            arguments: What follows it.
        """
        words = {None, *arguments}
        found: set[int] = set()
        for key in {None, *names, file_id}:
            by_word = self._by_program.get(key, {})
            for word in words if len(words) < len(by_word) else by_word:
                if word in words:
                    found.update(by_word.get(word, ()))
        return (self._denies[at] for at in sorted(found))
