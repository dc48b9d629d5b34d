"""Reading `[[tests]]`."""

from __future__ import annotations

from collections.abc import Iterator

from toolhost.policy.examples import Example
from toolhost.policy.keys import EXAMPLE
from toolhost.policy.problems import near
from toolhost.policy.table import Table

__all__ = ["EXAMPLE_KEYS", "read_examples"]

EXAMPLE_KEYS = tuple(EXAMPLE)

_OUTCOMES = ("allow", "ask", "deny")


def read_examples(top: Table) -> Iterator[Example]:
    """The examples of a policy that can be tried."""
    for table in top.tables("tests", EXAMPLE_KEYS):
        run, tool, because = table.text("run"), table.text("tool"), table.text("because")
        expect = table.text("expect", required='"allow", "ask" or "deny"')
        table.table("arguments", None)
        if (run is None) == (tool is None):
            table.problem(
                table.place(), "bad_value", "An example has either `run`, a command line, or `tool`, a tool's name."
            )
        elif expect is not None and expect.text not in _OUTCOMES:
            table.problem(expect.place, "bad_value", f"`expect` is allow, ask or deny.{near(expect.text, _OUTCOMES)}")
        elif expect is not None:
            yield Example(
                run=run.text if run else None,
                tool=tool.text if tool else None,
                expect=expect.text,
                because=because.text if because else "",
                place=table.place(),
            )
