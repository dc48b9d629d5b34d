"""Passwords that many people choose, long ones included, and the patterns of which there is no end to list.

The list is made by rule: the words that lead every published list, combined the way people lengthen them. What a rule
can see of any length (one thing over and over, a run along the alphabet or the keyboard) is seen by rule.
"""

from __future__ import annotations

import re
from functools import cache

__all__ = ["common_passwords", "is_guessable"]

_WORDS = [
    "password",
    "passwort",
    "passw0rd",
    "motdepasse",
    "contraseña",
    "secret",
    "geheim",
    "admin",
    "administrator",
    "administrateur",
    "root",
    "toor",
    "user",
    "guest",
    "login",
    "welcome",
    "bienvenue",
    "willkommen",
    "letmein",
    "changeme",
    "default",
    "master",
    "qwerty",
    "qwertyuiop",
    "qwertz",
    "azerty",
    "azertyuiop",
    "iloveyou",
    "jetaime",
    "loulou",
    "doudou",
    "chouchou",
    "soleil",
    "sunshine",
    "princess",
    "dragon",
    "monkey",
    "shadow",
    "football",
    "baseball",
    "basketball",
    "superman",
    "batman",
    "starwars",
    "pokemon",
    "naruto",
    "michael",
    "jordan",
    "jennifer",
    "jessica",
    "thomas",
    "charlie",
    "nicolas",
    "camille",
    "marseille",
    "liverpool",
    "chelsea",
    "arsenal",
    "barcelona",
    "juventus",
    "ferrari",
    "mercedes",
    "porsche",
    "computer",
    "internet",
    "google",
    "facebook",
    "samsung",
    "android",
    "windows",
    "microsoft",
    "whatever",
    "trustno1",
    "access",
    "freedom",
    "killer",
    "hunter",
    "ranger",
    "buster",
    "tigger",
    "cookie",
    "summer",
    "winter",
    "spring",
    "autumn",
    "monday",
    "friday",
    "january",
    "october",
    "november",
    "december",
    "company",
    "server",
    "database",
    "network",
    "security",
    "system",
    "toolhost",
    "changeit",
    "test",
    "testtest",
    "demo",
    "sample",
    "temp",
    "temporary",
    "hello",
    "bonjour",
    "hallo",
    "flower",
    "butterfly",
    "chocolate",
    "cheese",
    "orange",
    "banana",
    "pepper",
    "ginger",
    "maggie",
    "bailey",
]

_ENDINGS = (
    "",
    *("1", "12", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "0123456789"),
    *("!", "!!", "!!!", "1!", "123!", "1234!", "123456!", "@123", "@1234", "#123", "_123", "-123", ".123", "321"),
    *("4321", "54321", "654321", "0000", "1111", "111111", "000000", "007", "666", "777", "69", "99", "2000"),
    *(f"{year}" for year in range(1980, 2031)),
    *(f"{year}!" for year in range(2015, 2031)),
    *(f"@{year}" for year in range(2015, 2031)),
)

_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qwertzuiopasdfghjklyxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgbyhnujmikolp",
)

_LEET = str.maketrans("@4301!$57", "aaeoiisst")
_SPLIT = re.compile(r"(.*?)([^a-z]*)", re.DOTALL)  # what is put behind a word keeps its digits
_SHORTEST = 12


@cache
def common_passwords() -> frozenset[str]:
    """The list, in lower case: what is shorter than any password may be is left out."""
    made = {word + ending for word in _WORDS for ending in _ENDINGS}
    made |= {ending + word for word in _WORDS for ending in _ENDINGS if ending.isdigit()}
    made |= {word + other for word in _WORDS for other in _WORDS}
    return frozenset(one for one in made if len(one) >= _SHORTEST)


def is_guessable(password: str, username: str) -> bool:
    """Whether a password is on the list, is a pattern, or is mostly the user's name."""
    lowered = password.lower()
    word, ending = _SPLIT.fullmatch(lowered.replace(" ", "")).groups()  # type: ignore[union-attr]
    plain = word.translate(_LEET)
    forms = {lowered, lowered.strip(" !.?*#"), word + ending, plain + ending, lowered.translate(_LEET)}
    if not forms.isdisjoint(common_passwords()):
        return True
    # Short names are part of many words.
    if len(username) >= 4 and username in lowered and len(lowered.replace(username, "")) < _SHORTEST // 2:
        return True
    return _repeats(lowered) or _runs(lowered)


def _repeats(text: str) -> bool:
    """One short piece over and over: `abcabcabcabc`, `aaaaaaaaaaaa`."""
    return any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)] for size in range(1, min(6, len(text) // 2) + 1)
    )


def _runs(text: str) -> bool:
    """A walk along the alphabet, the digits or the keyboard, in either direction."""
    return any(text in run * 3 or text in run[::-1] * 3 for run in _RUNS)
