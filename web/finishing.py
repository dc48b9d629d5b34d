"""What changes something is carried out to its end, whoever hangs up: else a change could stand without its record.

Quart cancels whatever answers a client that is gone. Between the transaction of a change and the record of it, that
would leave the one without the other, and a client can choose the moment.
"""

from __future__ import annotations

from quart import Quart, request
from quart.ctx import RequestContext
from quart.typing import ResponseReturnValue

from toolhost.sandbox.uninterrupted import whole
from toolhost.web.access import SAFE, is_abandonable
from toolhost.web.guard import ask_again

__all__ = ["Finishing"]


class Finishing(Quart):
    """An application whose routes finish what they change, but for those that are marked `abandonable`."""

    async def dispatch_request(self, request_context: RequestContext | None = None) -> ResponseReturnValue:
        """Have a route answer."""
        if request.method in SAFE or is_abandonable(self, request.endpoint):
            return await super().dispatch_request(request_context)
        await request.get_data()  # all of it, from a client that is still there
        await ask_again()
        return await whole(super().dispatch_request(request_context))
