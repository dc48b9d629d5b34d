"""Calls that wait for a person while their parent runs on; answered, they go on where they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolhost.errors import ApprovalError

if TYPE_CHECKING:
    from toolhost.model import Call, CallResult
    from toolhost.policy import Considered

__all__ = ["Awaited"]


@dataclass(slots=True)
class Awaited:
    """One of them.

    Attributes:
        call: The call.
        answered: What was approved; or, where it was refused, what becomes of the call.
        result: What came of the call, for whoever approved it.
    """

    call: Call
    answered: asyncio.Future[Considered | CallResult] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    result: asyncio.Future[CallResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, result: CallResult | None) -> None:
        """Tell whoever approved it how it ended; None where it was given up before it ran."""
        if self.result.done():
            return
        if result is not None:
            self.result.set_result(result)
            return
        self.result.set_exception(
            ApprovalError("plan_changed", "The call that asked for this has ended.", "Make the call again.")
        )
        self.result.exception()  # nobody may be waiting, and that is no mistake
