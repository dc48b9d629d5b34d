"""Every route and every message, tried by everybody, and compared with docs/reference/authorization.md."""

import pytest
from authorization import COLUMNS, LAST, OWNED, PAGE, PEOPLE, Cast, rendered
from test_guard import PUBLIC, app
from webserver import WebServer

from toolhost.web.chat import TYPES

__all__ = ["app"]

OTHERS = ("viewer", "other user", "operator", "admin")


@pytest.fixture(scope="module")
def cast():
    running = WebServer()
    try:
        everybody = Cast.gather(running.start())
        yield everybody
        everybody.close()
    finally:
        running.close()


def test_everybody_gets_as_far_as_the_table_says_and_nobody_to_what_is_somebody_elses(app, cast, tmp_path) -> None:
    messages = {f"WS /ws/chat {kind}": cast.message(kind) for kind in TYPES}
    routes = {}
    for rule in app.url_map.iter_rules():
        if not rule.websocket:
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                routes[f"{method} {rule.rule}"] = (rule, method)
    order = sorted(routes, key=lambda name: (LAST.index(name) if name in LAST else -1, name.startswith("DELETE"), name))
    rows = {name: cast.row(routes[name][1], routes[name][0].rule) for name in order}
    for name, (rule, _) in routes.items():
        cells = dict(zip(COLUMNS, rows[name], strict=True))
        for nobody in ("stranger", "expired key"):
            assert (cells[nobody] in ("401", "303")) == (rule.endpoint not in PUBLIC), (name, cells)
        if rule.arguments & OWNED:
            assert not [who for who in OTHERS if cells[who] == "yes"], (name, cells)
    table = rendered(rows) + "\n" + rendered(messages)
    (tmp_path / "table.md").write_text(table)
    committed = PAGE.read_text()
    missing = [line for line in table.splitlines() if line not in committed.splitlines()]
    surplus = [line for line in committed.splitlines() if line.startswith("| `") and line not in table.splitlines()]
    assert not missing, f"what is now so and is not in {PAGE} (all of it: {tmp_path}/table.md)"
    assert not surplus
    assert set(PEOPLE) < set(COLUMNS)
