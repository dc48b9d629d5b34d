"""Requests made from the OpenAPI document, sensible and not, sent to a server: what schemathesis finds wrong."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from webserver import Person

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

LEFT_OUT = ("/api/auth/logout", "/api/panic", "/api/resume")
"""What ends the session that tries, or the server's work."""


def send_everything(person: Person, examples: int, seed: int = 1) -> list[str]:
    """Send so many requests to each route; returns what was wrong, the first of each route.

    Raises:
        AssertionError: Where there is nothing to send.
    """
    document: dict[str, Any] = person.get("/api/openapi.json").json
    found = []
    operations = [made.ok() for made in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(operations) > 50
    for operation in operations:
        if operation.path in LEFT_OUT:
            continue

        # What comes is the same each time: a failure is found again by whoever looks for it.
        @settings(
            max_examples=examples,
            derandomize=seed == 1,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            headers = {"Authorization": f"Bearer {person.bearer}"}
            answer = case.call(base_url=person.server.origin, headers=headers, timeout=60)
            checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
            case.validate_response(answer, checks=checks)

        try:
            send()
        except (Exception, BaseExceptionGroup) as problem:  # whatever it is goes into the list
            found.append(f"{operation.method.upper()} {operation.path}: {problem}")
    return found
