"""Sends what is written into the audit log to another place, such as a log collector.

`extensions = ["toolhost.extensions.webhook"]`. Records are sent in batches, in order, at least once, as a JSON array of
what the log holds. No call ever waits for it: what cannot be sent waits in memory, the oldest is dropped when there is
too much, and the log itself has everything. A host that ends tries to send what is left for five seconds.

    [extension.webhook]
    url = "https://collector.example.org/toolhost"
    token_file = "/etc/toolhost/collector.token"   # sent as `Authorization: Bearer`
    events = ["command_blocked", "tool.*"]          # default: everything
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from toolhost.errors import MachineError
from toolhost.extensions.options import options
from toolhost.hookspecs import hookimpl

if TYPE_CHECKING:
    import httpx2

    from toolhost.audit import AuditRecord
    from toolhost.settings import Settings

__all__ = ["Webhook", "extension"]

_logger = logging.getLogger(__name__)

_MOST = 10_000
_BATCH = 100
_SECONDS = 10.0
_LONGEST_PAUSE = 60.0


class Webhook:
    """Sends records.

    Args:
        url: Where to.
        token: Sent along, or None.
        events: Patterns of the events that are sent.
        pause: Seconds before the first try again; doubled with each further one.
    """

    def __init__(self, url: str, token: str | None = None, events: Sequence[str] = ("*",), pause: float = 1.0) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", "User-Agent": "toolhost"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._events = tuple(events)
        self._pause = pause
        self._waiting: deque[str] = deque(maxlen=_MOST)
        self._dropped = 0
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sending: asyncio.Task[None] | None = None

    @hookimpl
    def track_event(self, event: AuditRecord) -> None:
        """Take a record; it is sent later."""
        if not any(fnmatchcase(event.event, pattern) for pattern in self._events):
            return
        if len(self._waiting) == _MOST:
            self._dropped += 1
            if self._dropped == 1 or self._dropped % 1000 == 0:
                _logger.warning(
                    "the webhook is behind: %d records were not sent; the audit log has them", self._dropped
                )
        self._waiting.append(event.line)
        self._empty.clear()
        self._more.set()
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="webhook")

    @hookimpl
    async def shutdown(self) -> None:
        """Stop; what has come until now is tried once more."""
        if self._sending is None:
            return
        try:
            async with asyncio.timeout(_SECONDS / 2.5):
                await self._empty.wait()
        except TimeoutError:
            _logger.warning("%d records were not sent before the end; the audit log has them", len(self._waiting))
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self) -> None:
        import httpx2  # imported here: a host without a webhook has no use for it

        pause = self._pause
        async with httpx2.AsyncClient(trust_env=False, timeout=_SECONDS) as client:
            while True:
                await self._more.wait()
                batch = [self._waiting[at] for at in range(min(_BATCH, len(self._waiting)))]
                if await self._delivered(client, batch):
                    pause = self._pause
                    for line in batch:
                        if self._waiting and self._waiting[0] == line:  # the queue may have dropped it meanwhile
                            self._waiting.popleft()
                    if not self._waiting:
                        self._more.clear()
                        self._empty.set()
                    continue
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _delivered(self, client: httpx2.AsyncClient, batch: Sequence[str]) -> bool:
        import httpx2

        try:
            answer = await client.post(self._url, content="[" + ",".join(batch) + "]", headers=self._headers)
        except httpx2.HTTPError as error:
            _logger.warning("the webhook could not be reached: %s", type(error).__name__)
            return False
        if answer.is_success:
            return True
        _logger.warning("the webhook answered %d", answer.status_code)
        # What the other side will never take would keep everything after it.
        return 400 <= answer.status_code < 500 and answer.status_code not in (401, 403, 408, 429)


def extension(settings: Settings) -> Webhook:
    """The extension as the settings want it.

    Raises:
        UsageError: `setting_invalid`.
        MachineError: `extension_failed`: the token cannot be read.
    """
    with options(settings, "webhook", "url", "token_file", "events") as table:
        url = table.text("url", required='"https://collector.example.org/toolhost"')
        token_file = table.text("token_file")
        events = tuple(one.text for one in table.strings("events")) or ("*",)
        if url is not None and not url.text.startswith(("http://", "https://")):
            table.problem(url.place, "bad_value", "`url` begins with https:// or http://.")
    assert url is not None
    token = None
    if token_file is not None:
        try:
            token = Path(token_file.text).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            why = f"the token {token_file.text} cannot be read: {error}"
            raise MachineError(
                "extension_failed", f"The trusted extension webhook cannot be used: {why}.", ""
            ) from None
    return Webhook(url.text, token, events)
