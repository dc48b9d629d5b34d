"""The functions and constants of an expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from toolhost import ToolError
from toolhost.plugins.calculator.values import Approximate, Value, calculation_error

__all__ = ["Functions"]

_LARGEST_FACTORIAL = 1_400
_FLOAT_DIGITS = 15
_MOST_PLACES = 1_000


class Functions:
    """Calls functions by name.

    Args:
        context: For what has no exact result.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._named: dict[str, tuple[int, int, Callable[..., Any]]] = {
            "abs": (1, 1, lambda x: self._either(x, abs, abs)),
            "ceil": (1, 1, lambda x: Fraction(math.ceil(self._number(x)))),
            "floor": (1, 1, lambda x: Fraction(math.floor(self._number(x)))),
            "trunc": (1, 1, lambda x: Fraction(math.trunc(self._number(x)))),
            "round": (1, 2, self._round),
            "sqrt": (1, 1, self._sqrt),
            "exp": (1, 1, lambda x: Approximate(context.exp(self._decimal(x)))),
            "ln": (1, 1, lambda x: Approximate(context.ln(self._decimal(x)))),
            "log10": (1, 1, lambda x: Approximate(context.log10(self._decimal(x)))),
            "log2": (1, 1, lambda x: self._log(x, Fraction(2))),
            "log": (1, 2, self._log),
            "factorial": (1, 1, lambda n: Fraction(math.factorial(self._whole(n, _LARGEST_FACTORIAL)))),
            "comb": (2, 2, lambda n, k: Fraction(math.comb(self._whole(n, 10_000), self._whole(k, 10_000)))),
            "perm": (2, 2, lambda n, k: Fraction(math.perm(self._whole(n, 10_000), self._whole(k, 1_000)))),
            "gcd": (1, 100, lambda *n: Fraction(math.gcd(*(self._whole(each) for each in _flat(n))))),
            "lcm": (1, 100, lambda *n: Fraction(math.lcm(*(self._whole(each) for each in _flat(n))))),
            "sum": (1, 100, lambda *n: self._sum(_flat(n))),
            "mean": (1, 100, lambda *n: self._divided(self._sum(_flat(n)), len(_flat(n)))),
            "min": (1, 100, lambda *n: min(_flat(n), key=self._number)),
            "max": (1, 100, lambda *n: max(_flat(n), key=self._number)),
            "median": (1, 100, self._median),
            "stdev": (1, 100, self._stdev),
            "hypot": (2, 100, lambda *n: self._sqrt(self._sum([self._square(each) for each in _flat(n)]))),
            **{
                name: (1, 1, self._by_float(getattr(math, name)))
                for name in ("sin", "cos", "tan", "asin", "acos", "atan", "degrees", "radians")
            },
            "atan2": (2, 2, self._by_float(math.atan2)),
        }

    def constant(self, name: str) -> Value:
        """A constant's value.

        Raises:
            ToolError: `bad_expression`.
        """
        if name == "pi":
            return Approximate(self._pi())
        if name == "tau":
            return Approximate(self._context.multiply(Decimal(2), self._pi()))
        if name == "e":
            return Approximate(self._context.exp(Decimal(1)))
        raise ToolError(f"There is no {name!r} here: the constants are pi, e and tau.", "bad_expression")

    def call(self, name: str, arguments: list[Any]) -> Any:
        """A function's value.

        Raises:
            ToolError: `bad_expression`, `cannot_calculate`, `too_large`.
        """
        if name not in self._named:
            raise ToolError(f"There is no function {name!r}: {', '.join(sorted(self._named))}.", "bad_expression")
        fewest, most, function = self._named[name]
        if not fewest <= len(arguments) <= most or not _flat(arguments):
            count = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise ToolError(f"{name} takes {count} numbers, and this gives {len(arguments)}.", "bad_expression")
        if most < 100 and any(isinstance(each, list) for each in arguments):
            raise ToolError(f"{name} takes numbers, not a list.", "bad_expression")
        try:
            return function(*arguments)
        except (ValueError, OverflowError):
            raise calculation_error(f"{name} has no value there.") from None

    # -- kinds of numbers ----------------------------------------------------------------------------------------------

    def _decimal(self, value: Value) -> Decimal:
        if isinstance(value, Approximate):
            return value.number
        return self._context.divide(Decimal(value.numerator), Decimal(value.denominator))

    def _number(self, value: Value) -> Fraction | Decimal:
        if isinstance(value, Approximate):
            if value.number.adjusted() > 4_000:
                raise ToolError("A number on the way has more than 4000 digits.", "too_large")
            return value.number
        return value

    def _whole(self, value: Value, most: int | None = None) -> int:
        if not isinstance(value, Fraction) or value.denominator != 1:
            raise calculation_error("It takes whole numbers there.")
        if value < 0 and most is not None:
            raise calculation_error("It takes no negative number there.")
        if most is not None and value > most:
            raise ToolError(f"The number there is at most {most}.", "too_large")
        return int(value.numerator)

    def _either(self, value: Value, exact: Callable[[Any], Any], other: Callable[[Any], Any]) -> Value:
        return Approximate(other(value.number)) if isinstance(value, Approximate) else Fraction(exact(value))

    def _by_float(self, function: Callable[..., float]) -> Callable[..., Value]:
        def called(*values: Value) -> Value:
            result = function(*(float(self._number(value)) for value in values))
            return Approximate(Context(prec=_FLOAT_DIGITS).create_decimal(result))

        return called

    # -- functions -----------------------------------------------------------------------------------------------------

    def _sum(self, values: list[Value]) -> Value:
        if all(isinstance(value, Fraction) for value in values):
            return sum((value for value in values if isinstance(value, Fraction)), Fraction(0))
        total = Decimal(0)
        for value in values:
            total = self._context.add(total, self._decimal(value))
        return Approximate(total)

    def _divided(self, value: Value, by: int) -> Value:
        if isinstance(value, Fraction):
            return value / by
        return Approximate(self._context.divide(value.number, Decimal(by)))

    def _square(self, value: Value) -> Value:
        if isinstance(value, Fraction):
            return value * value
        return Approximate(self._context.multiply(value.number, value.number))

    def _median(self, *arguments: Any) -> Value:
        values = sorted(_flat(arguments), key=self._number)
        middle = len(values) // 2
        return values[middle] if len(values) % 2 else self._divided(self._sum(values[middle - 1 : middle + 1]), 2)

    def _stdev(self, *arguments: Any) -> Value:
        values = [self._decimal(value) for value in _flat(arguments)]
        if len(values) < 2:
            raise calculation_error("stdev takes at least two numbers.")
        mean = self._decimal(self._divided(self._sum(_flat(arguments)), len(values)))
        squares = [Approximate(self._context.power(self._context.subtract(value, mean), 2)) for value in values]
        return self._sqrt(self._divided(self._sum(list(squares)), len(values) - 1))

    def _sqrt(self, value: Value) -> Value:
        if isinstance(value, Fraction) and value >= 0:
            top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
            if top * top == value.numerator and bottom * bottom == value.denominator:
                return Fraction(top, bottom)
        return Approximate(self._context.sqrt(self._decimal(value)))

    def _log(self, value: Value, base: Value | None = None) -> Value:
        top = self._context.ln(self._decimal(value))
        if base is None:
            return Approximate(top)
        result = self._context.divide(top, self._context.ln(self._decimal(base)))
        # A whole number where it is one: log(8, 2) is 3.
        nearest = result.to_integral_value()
        if isinstance(value, Fraction) and isinstance(base, Fraction) and abs(nearest) < 10_000:
            size = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(int(nearest))
            if size < 20_000 and base ** int(nearest) == value:
                return Fraction(int(nearest))
        return Approximate(result)

    def _round(self, value: Value, places: Value = Fraction(0)) -> Value:
        at = self._whole(places)
        if abs(at) > _MOST_PLACES:
            raise ToolError(f"round takes at most {_MOST_PLACES} places.", "too_large")
        number = Fraction(self._number(value))
        scaled = number * Fraction(10) ** at
        # Half away from zero, as people round; not to the even neighbour.
        whole = math.floor(abs(scaled) + Fraction(1, 2))
        return Fraction(whole if scaled >= 0 else -whole) / Fraction(10) ** at

    def _pi(self) -> Decimal:
        """Machin's formula with whole numbers."""
        places = self._context.prec + 5
        one = 10**places

        def arctan_of_inverse(x: int) -> int:
            term = one // x
            total: int = term
            sign, n = -1, 3
            while term:
                term //= x * x
                total += sign * (term // n)
                sign, n = -sign, n + 2
            return total

        return Decimal(4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))).scaleb(-places, self._context)


def _flat(values: Any) -> list[Any]:
    """The numbers among arguments, those in lists included."""
    return [item for value in values for item in (value if isinstance(value, list) else [value])]
