"""How often somebody may ask: by person where they are known, by address where not."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from toolhost import metrics
from toolhost.accounts.model import read_username
from toolhost.audit import AuditLog
from toolhost.errors import AccessError, UsageError
from toolhost.settings import Rate, Settings
from toolhost.web.counters import Counters

__all__ = ["Attempt", "Budget", "RateLimitedError", "Rates"]

Name = Literal["api", "chat", "socket"]

_ADDRESSES = 50_000
_PEOPLE = 50_000
_SHARED = 10  # people whose requests may come from one address, such as an office's
_LONGEST_WAIT = 3600.0
_ACCOUNT_WAIT = 900.0  # of an account: others must not be able to keep its person out for long
_QUIET_SECONDS = 60.0  # between two records of the same somebody


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is left of the limit that is nearest: how many of how many, and when one more fits (epoch seconds)."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """The headers that say so."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimitedError(AccessError):
    """Raised when somebody asks more often than they may.

    Attributes:
        retry_after: Whole seconds until asking again makes sense.
        budget: What is left: nothing.
    """

    recoverable = True

    def __init__(self, message: str, limit: int, seconds: float) -> None:
        self.retry_after = max(1, math.ceil(seconds))
        self.budget = Budget(limit=limit, remaining=0, reset=int(time.time()) + self.retry_after)
        super().__init__("rate_limited", message, f"Try again in {self.retry_after} seconds.")


class _Counted:
    """One limit over one kind of somebody."""

    def __init__(self, name: str, rate: Rate, most: int) -> None:
        self.name = name
        self.item: RateLimitItem = RateLimitItemPerSecond(rate.count, max(1, math.ceil(rate.seconds)))
        self.counters = Counters(most)
        self._limiter = SlidingWindowCounterRateLimiter(self.counters)

    def hit(self, who: str) -> bool:
        """Count one; False where that is one too many."""
        return self._limiter.hit(self.item, who)

    def wait(self, who: str) -> float:
        """Seconds until one more fits."""
        return self.counters.wait(self.item.key_for(who), self.item.amount, self.item.get_expiry())

    def budget(self, who: str) -> Budget:
        """What is left."""
        stats = self._limiter.get_window_stats(self.item, who)
        wait = self.wait(who) if stats.remaining <= 0 else 0.0
        return Budget(limit=self.item.amount, remaining=max(0, stats.remaining), reset=math.ceil(time.time() + wait))


class _Locks:
    """Who has failed so often that they wait; each time longer, never for good."""

    def __init__(self, name: str, rate: Rate, longest: float) -> None:
        self._failures = _Counted(name, rate, _ADDRESSES)
        self._first, self._longest = float(rate.seconds), longest
        self._strikes: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, who: str) -> float:
        """Seconds that they have to wait now."""
        return max(0.0, self._strikes.get(who, (0, 0.0))[1] - time.monotonic())

    def budget(self, who: str) -> Budget:
        """How many more may fail before they wait, and until when they do."""
        left, wait = self._failures.budget(who), self.wait(who)
        return left if wait <= 0 else replace(left, remaining=0, reset=math.ceil(time.time() + wait))

    def count(self, who: str) -> bool:
        """Count an attempt as a failure, until it is known to be none; whether it is the one that makes them wait."""
        counted = self._failures
        counted.hit(who)
        struck = counted.wait(who) > 0
        if struck:
            strikes = self._strikes.pop(who, (0, 0.0))[0]
            seconds = min(self._first * 2**strikes, self._longest)
            self._strikes[who] = (min(strikes + 1, 30), time.monotonic() + seconds)
            if len(self._strikes) > _ADDRESSES:
                self._strikes.popitem(last=False)
        return struck

    def give_back(self, who: str, struck: bool) -> None:
        """The attempt was no failure, and whoever waits because of it need not."""
        self._failures.counters.give_back(self._failures.item.key_for(who))
        if struck and who in self._strikes:
            strikes = self._strikes.pop(who)[0] - 1
            if strikes > 0:
                self._strikes[who] = (strikes, 0.0)

    def forget(self, who: str) -> None:
        """Somebody has proved who they are."""
        self._failures.counters.clear(self._failures.item.key_for(who))
        self._strikes.pop(who, None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to sign in, counted as a failure until it is known to be none."""

    _address: str
    _account: str
    _by_address: _Locks
    _by_account: _Locks
    _struck_address: bool
    _struck_account: bool

    def budget(self) -> Budget:
        """What is left for whoever makes it."""
        budgets = (self._by_address.budget(self._address), self._by_account.budget(self._account))
        return min(budgets, key=lambda budget: budget.remaining)

    def undecided(self) -> None:
        """The password was right and a code is still to come."""
        self._by_address.give_back(self._address, self._struck_address)
        self._by_account.give_back(self._account, self._struck_account)

    def succeeded(self) -> None:
        """It was the person."""
        self._by_address.give_back(self._address, self._struck_address)
        self._by_account.forget(self._account)


class Rates:
    """The limits of one server.

    Args:
        settings: Their numbers.
        audit: Where it is written down that somebody reached one.
    """

    def __init__(self, settings: Settings, audit: AuditLog) -> None:
        rates = {"api": settings.api_rate, "chat": settings.chat_rate, "socket": settings.socket_rate}
        self._people = {name: _Counted(name, rate, _PEOPLE) for name, rate in rates.items()}
        self._strangers = {name: _Counted(name, rate, _ADDRESSES) for name, rate in rates.items()}
        shared = {name: Rate(rate.count * _SHARED, rate.seconds) for name, rate in rates.items()}
        self._shared = {name: _Counted(name, rate, _ADDRESSES) for name, rate in shared.items()}
        self._login_address = _Locks("login", settings.login_rate, _LONGEST_WAIT)
        self._login_account = _Locks("login", settings.login_rate, _ACCOUNT_WAIT)
        self._login_limit = settings.login_rate.count
        self._audit = audit
        self._recorded: OrderedDict[str, float] = OrderedDict()

    def count(self, name: Name, address: str | None, user_id: str | None) -> Budget:
        """Count a request.

        Args:
            name: Of which limit.
            address: Where it came from.
            user_id: Whose it is; None for a stranger's, which counts for the address.

        Returns:
            What is left.

        Raises:
            RateLimitedError: `rate_limited`.
        """
        place = group(address)
        if user_id is None:
            return self._count(self._strangers[name], place, address, None)
        shared = self._count(self._shared[name], place, address, user_id)
        own = self._count(self._people[name], user_id, address, user_id)
        return min(own, shared, key=lambda budget: budget.remaining)

    def attempt(self, username: object, address: str | None, *, known: bool) -> Attempt:
        """Begin an attempt to sign in, or refuse it.

        Args:
            username: As it was typed.
            address: Where it comes from.
            known: Whether this person has signed in from there before: then others' failures do not keep them out.

        Raises:
            RateLimitedError: `rate_limited`.
        """
        place = group(address)
        account = username.strip().lower()[:64] if isinstance(username, str) else ""
        # A name may look like anything: what is typed must not be the key of somebody known at their place.
        account = f"at {place} {account}" if known else f"name {account}"
        wait = max(self._login_address.wait(place), self._login_account.wait(account))
        if wait > 0:
            self._refuse("login", place, address, None, user=_name(username))
            raise RateLimitedError("Too many attempts to sign in failed.", self._login_limit, wait)
        struck_address, struck_account = self._login_address.count(place), self._login_account.count(account)
        return Attempt(place, account, self._login_address, self._login_account, struck_address, struck_account)

    def _count(self, counted: _Counted, who: str, address: str | None, user_id: str | None) -> Budget:
        if not counted.hit(who):
            self._refuse(counted.name, who, address, user_id)
            item = counted.item
            raise RateLimitedError(
                f"More than {item.amount} requests in {item.get_expiry()} seconds.", item.amount, counted.wait(who)
            )
        return counted.budget(who)

    def _refuse(self, limit: str, who: str, address: str | None, user_id: str | None, **details: str) -> None:
        """Write it down, once a minute for the same somebody: a flood must not fill the log."""
        metrics.RATE_LIMITED.inc(limit=limit)
        key, now = f"{limit} {who}", time.monotonic()
        if now - self._recorded.get(key, float("-inf")) < _QUIET_SECONDS:
            return
        self._recorded[key] = now
        self._recorded.move_to_end(key)
        if len(self._recorded) > _ADDRESSES:
            self._recorded.popitem(last=False)
        about = {"limit": limit, "ip": address, "user_id": user_id, **details}
        self._audit.write("security", "rate_limited", about, level="WARNING")


def _name(typed: object) -> str:
    """What was typed, where it can be somebody's name: else it may be a password in the wrong place."""
    try:
        return read_username(typed)
    except UsageError:
        return ""


def group(address: str | None) -> str:
    """Under what an address is counted: IPv6 by its /64, of which one machine has every address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
