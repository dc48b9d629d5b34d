"""`GET /metrics`: what was counted, in the Prometheus text format."""

from __future__ import annotations

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from toolhost import metrics
from toolhost.rights import check
from toolhost.settings import is_loopback
from toolhost.web.guard import client, public, signed_in
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("metrics", __name__)

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via")


@blueprint.get("/metrics")
@public
async def show() -> ResponseReturnValue:
    """For programs of this machine, and for a bearer who may read the audit log; the route itself looks who comes."""
    if not _from_this_machine():
        principal = await signed_in()
        check(principal.actor(client()), "audit:read")
    text, kind = metrics.exposition()
    return Response(text, content_type=kind)


def _from_this_machine() -> bool:
    """Whether nobody else can be behind this request: a proxy on this machine would be."""
    if site().host.settings.trusted_proxies or any(name in request.headers for name in _FORWARDED):
        return False
    return request.remote_addr is not None and is_loopback(request.remote_addr)
