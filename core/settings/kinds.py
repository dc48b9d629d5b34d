"""The types of settings: each reads its value from a text (flag, variable, file) and from TOML, and shows it again."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "BOOLEAN",
    "CIDRS",
    "DURATION",
    "HOSTS",
    "LIST",
    "ORIGINS",
    "PATH",
    "RATE",
    "SIZE",
    "TEXT",
    "Kind",
    "Rate",
    "choice",
    "integer",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WORDS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of setting.

    Attributes:
        name: As the documentation calls it.
        wanted: What it takes, for the end of `it takes ...`.
        parse: Its value from a text; raises ValueError.
        toml: Its value from what stands in a TOML file; raises ValueError.
        show: Its value as a text that `parse` reads back.
    """

    name: str
    wanted: str
    parse: Callable[[str], Any]
    toml: Callable[[Any], Any]
    show: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen.

    Attributes:
        count: At most this often
        seconds: in any stretch of this length.
    """

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{_show_duration(self.seconds)}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _from_text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: parse(_text(value))


def _exactly(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return check


def _boolean(text: str) -> bool:
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError from None


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", text.strip())
    if found is None:
        raise ValueError
    return float(found[1]) * _SECONDS[found[2]]


def _show_duration(seconds: float) -> str:
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds * 1000:g}ms"


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,12})([KMG]?)", text.strip())
    if found is None:
        raise ValueError
    return int(found[1]) * _BYTES[found[2]]


def _show_size(size: int) -> str:
    unit = next((unit for unit in ("G", "M", "K") if size and size % _BYTES[unit] == 0), "")
    return f"{size // _BYTES[unit]}{unit}"


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise ValueError
    return Path(os.path.normpath(path))


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _each(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError
        return tuple(parse(_text(item)) for item in value)

    return check


def _network(text: str) -> Network:
    network = ipaddress.ip_network(text)
    if not network.prefixlen:
        raise ValueError  # whoever trusts every address believes what anybody writes
    return network


def _host(text: str) -> str:
    name = text.strip().lower()
    if ":" in name:
        return str(ipaddress.IPv6Address(name))
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", name):
        raise ValueError  # a pattern or a whole address would be compared with names, and be none of them
    return name


def _origin(text: str) -> str:
    found = re.fullmatch(
        r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[1-9]\d{0,4})?", text.strip()
    )
    # What comes over plain HTTP from elsewhere, anybody on the way can have written.
    if found is None or (found[1] == "http" and found[2] not in _THIS_MACHINE):
        raise ValueError
    return found[0]


def _rate(text: str) -> Rate:
    count, slash, window = text.strip().partition("/")
    if not slash or not count.isdecimal() or not 1 <= int(count) <= 1_000_000:
        raise ValueError
    seconds = _duration(window)
    if seconds <= 0:
        raise ValueError
    return Rate(int(count), seconds)


def _joined(items: tuple[Any, ...]) -> str:
    return ",".join(map(str, items))


TEXT = Kind("text", "a text", str, _text)
BOOLEAN = Kind("boolean", "true or false", _boolean, _exactly(bool), lambda value: str(value).lower())
DURATION = Kind(
    "duration", "a number with ms, s, m, h or d, such as 15m", _duration, _from_text(_duration), _show_duration
)
SIZE = Kind("size", "a number of bytes, or one with K, M or G, such as 64M", _size, _from_text(_size), _show_size)
PATH = Kind("path", "an absolute path", _path, _from_text(_path))
LIST = Kind("list", "words with commas between them, in TOML an array of strings", _list, _each(str), _joined)
CIDRS = Kind(
    "CIDR list",
    "addresses or networks, such as 10.0.0.0/8, and not all there are, with commas between them, in TOML an array of "
    "strings",
    lambda text: tuple(map(_network, _list(text))),
    _each(_network),
    _joined,
)
HOSTS = Kind(
    "host list",
    "names or addresses, such as chat.example.org, with commas between them, in TOML an array of strings; no *, no "
    "port",
    lambda text: tuple(map(_host, _list(text))),
    _each(_host),
    _joined,
)
ORIGINS = Kind(
    "origin list",
    "whole origins, such as https://chat.example.org, with commas between them, in TOML an array of strings; lower "
    "case, no path, no *, and http only of this machine",
    lambda text: tuple(map(_origin, _list(text))),
    _each(_origin),
    _joined,
)
RATE = Kind("rate", "a number in a duration, such as 30/1m", _rate, _from_text(_rate))


def integer(least: int, most: int) -> Kind:
    """Whole numbers between two bounds, both included."""

    def within(value: int) -> int:
        if not least <= value <= most:
            raise ValueError
        return value

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text.strip()):
            raise ValueError
        return within(int(text))

    return Kind("integer", f"a number from {least} to {most}", parse, lambda value: within(_exactly(int)(value)))


def choice(*words: str) -> Kind:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Kind("choice", f"{', '.join(words[:-1])} or {words[-1]}", parse, _from_text(parse))
