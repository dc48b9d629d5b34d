"""The numbers of a calculation: exact fractions, and decimals where there is no exact form."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from fractions import Fraction

from toolhost import ToolError

__all__ = ["Approximate", "Value", "calculation_error", "context_of"]

_EXTRA = 12  # digits calculated with beyond those that are shown


@dataclass(frozen=True, slots=True)
class Approximate:
    """A number without an exact form."""

    number: Decimal

    @classmethod
    def of(cls, value: Value, digits: int) -> Approximate:
        """A value as a decimal."""
        if isinstance(value, Approximate):
            return value
        context = context_of(digits)
        return cls(context.divide(Decimal(value.numerator), Decimal(value.denominator)))

    def text(self, digits: int) -> str:
        """Its significant digits."""
        rounded = Context(prec=digits).plus(self.number)
        if rounded and -7 <= rounded.adjusted() < 21:
            text = f"{rounded:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        return f"{rounded.normalize():g}" if rounded else "0"


Value = Fraction | Approximate


def context_of(digits: int) -> Context:
    """A decimal context that refuses what is no number."""
    return Context(prec=digits + _EXTRA, traps=[DivisionByZero, InvalidOperation, Overflow])


def calculation_error(message: str) -> ToolError:
    """What cannot be calculated."""
    return ToolError(message, "cannot_calculate")
