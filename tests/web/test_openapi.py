"""The OpenAPI document is of every route, valid, and true."""

import re

import pytest
from jsonschema import Draft202012Validator
from strangedata import send_everything
from test_guard import app
from webserver import WebServer

from toolhost.web.errors import is_api
from toolhost.web.openapi import document
from toolhost.web.shapes import SHAPES

__all__ = ["app"]


def schemas(value):
    """Every JSON Schema in the document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "schema":
                yield inner
            yield from schemas(inner)


def test_the_document_is_of_every_route_of_the_api_and_of_no_other(app) -> None:
    made = document(app)
    described = {f"{method.upper()} {path}" for path, methods in made["paths"].items() for method in methods}
    existing = set()
    for rule in app.url_map.iter_rules():
        if is_api(rule.rule) and not rule.websocket:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            existing |= {f"{method} {path}" for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert described == existing
    assert not set(SHAPES) - existing
    names = [one["operationId"] for methods in made["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))
    for schema in [*schemas(made), *made["components"]["schemas"].values()]:
        Draft202012Validator.check_schema(schema)


def test_the_document_says_what_the_doors_ask(app) -> None:
    paths = document(app)["paths"]
    assert paths["/api/auth/login"]["post"]["security"] == []
    keys = paths["/api/keys"]["post"]
    assert keys["security"] == [{"bearer": []}]
    assert keys["x-step-up"] is True
    assert "x-scope" not in keys
    assert paths["/api/tools"]["get"]["x-scope"] == "tools:read"


def test_the_document_is_for_people_who_are_signed_in(server, ada) -> None:
    assert server.stranger().get("/api/openapi.json").status == 401
    assert ada.get("/api/openapi.json").json["openapi"] == "3.1.0"


@pytest.mark.filterwarnings("ignore")
def test_whatever_is_sent_to_a_route_is_answered_as_the_document_says() -> None:
    """A few requests for each route; `scripts/soak` sends hundreds."""
    running = WebServer()
    try:
        assert not send_everything(running.start().set_up(), examples=3)
    finally:
        running.close()
