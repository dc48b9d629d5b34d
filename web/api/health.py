"""`GET /health`: one word, for whoever asks; `GET /health/deep`: what was looked at, for administrators."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.health import Probe, probe_all
from toolhost.web.guard import public, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("health", __name__)

_PATIENCE = 2.0  # seconds


@blueprint.get("/health")
@public
async def health() -> ResponseReturnValue:
    """`ok`, or `degraded` where tools cannot run. No version, no path: the answer is for anybody."""
    return {"status": site().host.health()}


@blueprint.get("/api/health")
@public
async def health_of_old() -> ResponseReturnValue:
    """The same, where older monitors look for it."""
    return await health()


@blueprint.get("/health/deep")
@requires("admin", scope="audit:read")
async def deep() -> ResponseReturnValue:
    """Each part, tried out at this moment; 503 where one fails."""
    probes = [*await probe_all(site().host), *await asyncio.gather(*map(_model, await _models()))]
    status = next((one for one in ("fail", "warn") if any(probe.status == one for probe in probes)), "pass")
    return {"status": status, "probes": [probe.as_json() for probe in probes]}, 503 if status == "fail" else 200


async def _models() -> list[tuple[str, str]]:
    return [(model.name, model.url) for model in await site().models.all()]


async def _model(named: tuple[str, str]) -> Probe:
    """Whether anything listens where a model should be; asking it would cost, and `toolhost model test` does."""
    name, url = named
    parts = urlsplit(url)
    began = asyncio.get_running_loop().time()
    answers = False
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            port = parts.port or (443 if parts.scheme == "https" else 80)
            _, writer = await asyncio.open_connection(parts.hostname, port)
            answers = True
            writer.close()
    ms = (asyncio.get_running_loop().time() - began) * 1000
    if answers:
        return Probe(name=f"model {name}", status="pass", case="model", said="Its server can be reached.", ms=ms)
    return Probe(name=f"model {name}", status="warn", case="model_away", said="Its server cannot be reached.", ms=ms)
