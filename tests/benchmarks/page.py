"""What a page of two hundred messages costs the server: the conversation read, every message and card rendered."""

from __future__ import annotations

import statistics
import time

from toolhost.accounts import Client
from toolhost.host import Host
from toolhost.web import create_app, new_setup_token
from toolhost.web.fragments import ENTRIES
from toolhost.web.markdown import forget_rendered
from toolhost.web.site import EXTENSION, Site

__all__ = ["page"]

_PASSWORD = "correct horse battery"
_QUESTION = "How do I water tree number {n}, and **when**?\n\nIt stands `by the gate`."
_ANSWER = """Tree {n} wants water twice a week.

- **Monday**: twelve litres
- *Friday*: eight, or [less](https://example.org/{n})

```python
def water(tree: int = {n}) -> int:
    return 12 if tree else 8
```
"""


async def page(host: Host, rounds: int) -> None:
    """200 messages; the first time each text is met, and again."""
    app = create_app(host)
    parts: Site = app.extensions[EXTENSION]
    user = await parts.accounts.links.complete_setup(await new_setup_token(app), "bench", _PASSWORD, Client())
    signed_in = await parts.accounts.sign_in("bench", _PASSWORD, Client())
    conversation = await parts.conversations.create(user.id, title="Trees")
    for n in range(100):
        await parts.conversations.append(
            user.id, conversation.id, run_id="r_bench", kind="user", text=_QUESTION.format(n=n)
        )
        await parts.conversations.append(
            user.id, conversation.id, run_id="r_bench", kind="assistant", text=_ANSWER.format(n=n), data={"model": "m"}
        )
    client = app.test_client()
    headers = {"Authorization": f"Bearer {signed_in.access_token}", "Host": "127.0.0.1"}
    times: dict[str, list[tuple[float, float]]] = {"first": [], "again": []}
    for number in range(-2, rounds):
        forget_rendered()
        ENTRIES.forget()
        for kind in ("first", "again"):
            started, spent = time.perf_counter(), time.process_time()
            answer = await client.get(f"/c/{conversation.id}/thread", headers=headers)
            taken = (time.perf_counter() - started) * 1000, (time.process_time() - spent) * 1000
            assert answer.status_code == 200, await answer.get_data(as_text=True)
            if number >= 0:
                times[kind].append(taken)
    print("\na page of 200 messages, milliseconds on the server")
    for kind, all_taken in times.items():
        walls, processors = zip(*all_taken, strict=True)
        print(
            f"  {kind:<6} p50 {statistics.median(walls):7.1f}   worst {max(walls):7.1f}"
            f"   processor p50 {statistics.median(processors):7.1f}"
        )
