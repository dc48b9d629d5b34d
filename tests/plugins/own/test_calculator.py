"""The `calculator` plugin: exact where that is possible, and bounded whatever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolhost.testing import PluginHost, make_host

POLICY = Path(__file__).parents[3] / "policies" / "calculator.toml"


@pytest.fixture(scope="module")
def host() -> Iterator[PluginHost]:
    with make_host(policy=POLICY) as running:
        yield running


def shown(host: PluginHost, expression: str) -> str:
    result = host.call("calculator.calculate", expression=expression)
    assert result.status == "ok", result.error
    return result.stdout


@pytest.mark.works("calculator.calculate")
def test_a_calculation_is_exact_and_needs_no_approval(host: PluginHost) -> None:
    assert host.decide("calculator.calculate", expression="1").outcome == "allow"
    assert shown(host, "0.1 + 0.2") == "= 0.3"
    result = host.call("calculator.calculate", expression="1/3", digits=5)
    assert result.content[-1]["value"] == {"value": "0.33333", "exact": False, "fraction": "1/3"}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("2^10 + 1", "= 1025"),
        ("-2**2", "= -4"),
        ("(19.99*3 - 5%4) / 2^10", "= 0.057587890625"),
        ("sqrt(9/4)", "= 1.5"),
        ("sqrt(2)", "≈ 1.4142135623730950488"),
        ("pi", "≈ 3.1415926535897932385"),
        ("sin(pi/6)", "≈ 0.5"),
        ("log(8, 2)", "= 3"),
        ("-7 % 3", "= 2"),
        ("mean([1, 2, 3, 4])", "= 2.5"),
        ("stdev([2, 4, 4, 4, 5, 5, 7, 9])", "≈ 2.1380899352993950775"),
        ("round(-2.5)", "= -3"),
        ("factorial(20)", "= 2432902008176640000"),
        ("3 > 2 >= 2", "= true"),
        ("10^5000", "≈ 1e+5000"),
        ("0xff × 2", "= 510"),
    ],
)
def test_what_people_calculate_comes_out_right(host: PluginHost, expression: str, said: str) -> None:
    assert shown(host, expression) == said


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("1/0", "cannot_calculate"),
        ("sqrt(-1)", "cannot_calculate"),
        ("ln(0)", "cannot_calculate"),
        ("9**9**9**9", "cannot_calculate"),
        ("factorial(100000)", "too_large"),
        ("1e999999", "too_large"),
        ("1" + "+1" * 450, "too_large"),
        ("x + 1", "bad_expression"),
        ("2 +", "bad_expression"),
        ("(" * 300, "bad_expression"),
        ("__import__('os').system('id')", "bad_expression"),
        ("(1).__class__", "bad_expression"),
        ("[x for x in [1]]", "bad_expression"),
        ("'a' * 9", "bad_expression"),
    ],
)
def test_what_is_no_calculation_or_too_much_is_refused_at_once(host: PluginHost, expression: str, code: str) -> None:
    error = host.call("calculator.calculate", expression=expression).error
    assert error is not None
    assert error["code"] == code
