"""The tool of the `calculator` plugin."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from toolhost import ToolError, ToolOutput, hookimpl, tool
from toolhost.plugins.calculator.evaluate import evaluate
from toolhost.plugins.calculator.values import Approximate, Value

__all__ = ["calculate", "register_tools"]

_MOST_DIGITS = 1_000
_LONGEST = 1_000  # characters of an expression


@tool
def calculate(expression: str, digits: int = 20) -> ToolOutput:
    """Calculate an arithmetic expression: use it instead of calculating in your head. Whole numbers and fractions are
    exact (0.1 + 0.2 is 0.3). Gives `1/3 ≈ 0.33333333333333333333`, `= 42`, or `≈ 1.4142135623730950488` for what has no
    exact form.

    Args:
        expression: Such as `(19.99 * 3 - 5%4) / 2^10`, with + - * / // % ^ or **, comparisons, lists in brackets,
            pi, e, and abs acos asin atan atan2 ceil comb cos degrees exp factorial floor gcd hypot lcm ln log log10
            log2 max mean median min perm radians round sin sqrt stdev sum tan trunc.
        digits: How many significant digits to give of what has no exact decimal form, up to 1000.
    """
    if not 1 <= digits <= _MOST_DIGITS:
        raise ToolError(f"digits is between 1 and {_MOST_DIGITS}.", "invalid_arguments")
    if len(expression) > _LONGEST:
        raise ToolError(f"The expression is longer than {_LONGEST} characters: do it in parts.", "too_large")
    value = evaluate(expression, digits)
    if isinstance(value, bool):
        return ToolOutput(text=f"= {'true' if value else 'false'}", data={"value": value, "exact": True})
    return _shown(value, digits)


def _shown(value: Value, digits: int) -> ToolOutput:
    if isinstance(value, Approximate):
        text = value.text(digits)
        return ToolOutput(text=f"≈ {text}", data={"value": text, "exact": False})
    if value.denominator == 1:
        return ToolOutput(text=f"= {value.numerator}", data={"value": str(value.numerator), "exact": True})
    decimal = _finite(value)
    if decimal is not None:
        return ToolOutput(text=f"= {decimal}", data={"value": decimal, "exact": True})
    text = Approximate.of(value, digits).text(digits)
    return ToolOutput(text=f"{value} ≈ {text}", data={"value": text, "exact": False, "fraction": str(value)})


def _finite(value: Fraction) -> str | None:
    """The decimal form of a fraction that has an end, at most a hundred places long."""
    rest, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest //= prime
            count += 1
        places = max(places, count)
    if rest != 1 or places > 100:
        return None
    whole, part = divmod(abs(value.numerator) * 10**places // value.denominator, 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{part:0{places}d}"


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The one tool."""
    register(calculate)
