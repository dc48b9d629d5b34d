"""Addresses that get no answer: one or a whole network, for a time or until it is taken back."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select

from toolhost.accounts.changes import Changes
from toolhost.accounts.record import Recorder
from toolhost.errors import AccessError, UsageError
from toolhost.identifiers import now_ms
from toolhost.model import Actor
from toolhost.settings import Network
from toolhost.storage import Database
from toolhost.storage.tables import blocks

__all__ = ["Block", "Blocks", "contains", "holds"]

_REASON = 200  # characters
_LONGEST_SECONDS = 366 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A network that gets no answer. Times are milliseconds since the epoch.

    Attributes:
        network: Such as `203.0.113.7/32`.
        reason: What somebody wrote, or empty.
        created: Since when.
        expires: Until when; None for no end.
    """

    network: str
    reason: str
    created: int
    expires: int | None

    def as_json(self) -> dict[str, object]:
        """The block object of the API."""
        return {"network": self.network, "reason": self.reason, "created": self.created, "expires": self.expires}


class Blocks:
    """The blocked addresses.

    Args:
        database: The host's database.
        recorder: Where what happens is written down.
        changes: Tells when what is kept in memory no longer counts.
    """

    def __init__(self, database: Database, recorder: Recorder, changes: Changes) -> None:
        self._database = database
        self._recorder = recorder
        self._changes = changes
        self._kept: Sequence[tuple[Network, int | None]] | None = None
        self._generation = 0
        self._reading = asyncio.Lock()
        changes.on_change(self._clear)

    async def add(
        self, address: object, by: Actor, *, reason: object = "", seconds: object = None, own: str | None = None
    ) -> Block:
        """Block an address or a network; where it is blocked already, anew.

        Args:
            address: Such as `203.0.113.7` or `2001:db8::/32`.
            by: Who blocks it.
            reason: Why.
            seconds: For how long; None for no end.
            own: The address of whoever blocks, which they must not shut out.

        Raises:
            UsageError: `block_invalid`, `block_everybody`, `block_yourself`.
        """
        network = _network(address)
        if not network.prefixlen:
            raise UsageError(
                "block_everybody",
                f"{network} is every IPv{network.version} address there is: everybody would be shut out, you too.",
                "Block a smaller network. `toolhost panic` stops every tool; who may connect is for a firewall to say.",
            )
        if not isinstance(reason, str) or len(reason) > _REASON or not reason.isprintable():
            raise UsageError("block_invalid", f"The reason is one line of up to {_REASON} characters.", "Shorten it.")
        if seconds is not None and (
            not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= _LONGEST_SECONDS
        ):
            raise UsageError(
                "block_invalid", f"A block lasts 1 to {_LONGEST_SECONDS} seconds, or has no end.", "Choose another."
            )
        if own is not None and contains(network, own):
            raise UsageError("block_yourself", "Your own address is in this network.", "Block a smaller one.")
        now = now_ms()
        block = Block(
            network=str(network), reason=reason, created=now, expires=None if seconds is None else now + seconds * 1000
        )
        values = {"reason": block.reason, "created": now, "expires": block.expires}
        async with self._database.begin() as connection:
            await connection.execute(delete(blocks).where(blocks.c.expires <= now))
            await connection.execute(delete(blocks).where(blocks.c.network == block.network))
            await connection.execute(insert(blocks).values(network=block.network, **values))
            await self._changes.mark(connection)
            self._recorder.by_actor("address_blocked", by, network=block.network, expires=block.expires, reason=reason)
        await self._changes.made()
        return block

    async def remove(self, address: object, by: Actor) -> None:
        """Take a block back.

        Raises:
            AccessError: `block_not_found`.
        """
        network = str(_network(address))
        async with self._database.begin() as connection:
            if (await connection.execute(delete(blocks).where(blocks.c.network == network))).rowcount != 1:
                raise AccessError("block_not_found", f"{network} is not blocked.", "`toolhost block list` shows all.")
            await self._changes.mark(connection)
            self._recorder.by_actor("address_unblocked", by, network=network)
        await self._changes.made()

    async def list(self) -> list[Block]:
        """The blocks that hold, the newest first."""
        query = select(blocks).where(holds()).order_by(blocks.c.created.desc())
        async with self._database.begin() as connection:
            return [_block(row) for row in (await connection.execute(query)).all()]

    async def blocked(self, address: str | None) -> bool:
        """Whether an address is blocked."""
        kept = await self._current()
        now = now_ms()
        return address is not None and any(
            contains(network, address) for network, expires in kept if expires is None or expires > now
        )

    async def _current(self) -> Sequence[tuple[Network, int | None]]:
        if self._kept is not None and await self._changes.fresh() and (kept := self._kept) is not None:
            return kept
        async with self._reading:
            # Somebody else may have read it while this waited for its turn.
            if self._kept is not None and self._changes.current:
                return self._kept
            generation = self._generation
            kept = [(ipaddress.ip_network(block.network), block.expires) for block in await self.list()]
            if generation == self._generation:
                self._kept = kept
            return kept

    async def _clear(self) -> None:
        self._generation += 1
        self._kept = None


def holds() -> Any:
    """The condition of a block that has not ended."""
    return or_(blocks.c.expires.is_(None), blocks.c.expires > now_ms())


def _network(address: object) -> Network:
    try:
        if not isinstance(address, str):
            raise ValueError
        network = ipaddress.ip_network(address.strip(), strict=False)
    except ValueError:
        raise UsageError(
            "block_invalid", "This is no address and no network.", "Such as 203.0.113.7 or 2001:db8::/32."
        ) from None
    # Addresses are compared as IPv4 where they are that: so is the network.
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def contains(network: Network, address: str) -> bool:
    """Whether an address is in a network, however it is spelled."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed in network


def _block(row: Row[*tuple[Any, ...]]) -> Block:
    return Block(network=row.network, reason=row.reason, created=row.created, expires=row.expires)
