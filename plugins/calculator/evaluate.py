"""Evaluating an expression: its syntax tree, node by node, with only the nodes and names that are listed here.

Values are exact fractions for as long as that is possible, and decimals with as many digits as are asked for from the
first function without an exact result. Every value is bounded in size, every expression in nodes, and there are no
loops, so the time is bounded too.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, Decimal, DecimalException, Overflow
from fractions import Fraction
from typing import Any, TypeVar

from toolhost import ToolError
from toolhost.plugins.calculator.functions import Functions
from toolhost.plugins.calculator.values import Approximate, Value, calculation_error, context_of

__all__ = ["evaluate"]

_T = TypeVar("_T")

_MOST_NODES = 400
_MOST_BITS = 14_000
"""Of a numerator or denominator: some 4200 decimal digits, the longest number Python writes out."""
_MOST_EXPONENT = 4_000  # of ten, in a literal


def evaluate(expression: str, digits: int) -> Value | bool:
    """The value of an expression.

    Args:
        expression: The expression.
        digits: Significant digits of what has no exact value.

    Raises:
        ToolError: `bad_expression`, `cannot_calculate`, `too_large`.
    """
    # `^` is a power to everybody but Python, and binds differently there.
    source = expression.strip().replace("^", "**").replace("×", "*").replace("÷", "/").replace("\N{MINUS SIGN}", "-")  # noqa: RUF001
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        place = f" near character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ToolError(f"That is no expression{place}: {expression[:100]!r}.", "bad_expression") from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise ToolError("The expression has too many parts: do it in several calls.", "too_large")
    try:
        value: Value | bool | list[Value] = _Evaluator(source, digits).value(tree.body)
    except ZeroDivisionError:
        raise calculation_error("It divides by zero.") from None
    except DecimalException as error:
        what = "a number too large to write" if isinstance(error, Overflow) else "no real number"
        raise calculation_error(f"The result is {what}.") from None
    if isinstance(value, Approximate) and not value.number.is_finite():
        raise calculation_error("The result is no real number.")
    if isinstance(value, list):
        raise ToolError("The result is a list: give one number, such as sum([...]).", "bad_expression")
    return value


class _Evaluator:
    def __init__(self, source: str, digits: int) -> None:
        self._source = source
        self._digits = digits
        self._context = context_of(digits)
        self._functions = Functions(self._context)

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name(id=name):
                return self._functions.constant(name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
                number = self._one(inner)
                return number if isinstance(sign, ast.UAdd) else self._times(number, Fraction(-1))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._one(left), self._one(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(self._one(left), ops, [self._one(other) for other in others])
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._one(item) for item in items]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._bounded(self._functions.call(name, [self.value(argument) for argument in arguments]))
        text = ast.get_source_segment(self._source, node) or ""
        raise ToolError(f"{text[:60]!r} is no arithmetic.", "bad_expression")

    def _one(self, node: ast.expr) -> Value:
        value = self.value(node)
        if isinstance(value, Fraction | Approximate):
            return value
        raise ToolError("A list or a comparison stands where a number should.", "bad_expression")

    def _number(self, node: ast.Constant) -> Fraction:
        text = (ast.get_source_segment(self._source, node) or "").replace("_", "")
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ToolError(f"{text[:60]!r} is no number.", "bad_expression")
        if isinstance(node.value, int):
            return self._bounded(Fraction(node.value))
        exponent = re.search(r"[eE]([+-]?\d+)$", text)
        if exponent and abs(int(exponent[1])) > _MOST_EXPONENT:
            raise ToolError(f"The number {text[:60]} is too large or too small.", "too_large")
        return self._bounded(Fraction(text))  # the text, not the float: 0.1 is a tenth

    def _binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(op, ast.Pow):
            return self._power(left, right)
        if isinstance(left, Fraction) and isinstance(right, Fraction):
            exact = _EXACT.get(type(op))
            if exact is None:
                raise ToolError("The operators are + - * / // % and ^.", "bad_expression")
            return self._bounded(Fraction(exact(left, right)))
        one, other = (Approximate.of(each, self._digits).number for each in (left, right))
        return Approximate(self._decimal(op, one, other))

    def _decimal(self, op: ast.operator, one: Decimal, other: Decimal) -> Decimal:
        context = self._context
        match op:
            case ast.Add():
                return context.add(one, other)
            case ast.Sub():
                return context.subtract(one, other)
            case ast.Mult():
                return context.multiply(one, other)
            case ast.Div():
                return context.divide(one, other)
            case ast.FloorDiv():
                return context.divide(one, other).to_integral_value(ROUND_FLOOR)
            case ast.Mod():
                whole = context.divide(one, other).to_integral_value(ROUND_FLOOR)
                return context.subtract(one, context.multiply(other, whole))
        raise ToolError("The operators are + - * / // % and ^.", "bad_expression")

    def _times(self, left: Value, right: Value) -> Value:
        return self._binary(ast.Mult(), left, right)

    def _power(self, base: Value, exponent: Value) -> Value:
        if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
            size = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent.numerator)
            if size > _MOST_BITS and base not in (0, 1, -1):
                return Approximate(self._decimal_power(base, exponent))
            return Fraction(base**exponent.numerator)
        return Approximate(self._decimal_power(base, exponent))

    def _decimal_power(self, base: Value, exponent: Value) -> Decimal:
        one, other = (Approximate.of(each, self._digits).number for each in (base, exponent))
        return self._context.power(one, other)

    def _compare(self, left: Value, ops: Sequence[ast.cmpop], others: Sequence[Value]) -> bool:
        for op, right in zip(ops, others, strict=True):
            compare = _COMPARE.get(type(op))
            if compare is None:
                raise ToolError("Comparisons are < <= == != >= and >.", "bad_expression")
            if isinstance(left, Fraction) and isinstance(right, Fraction):
                holds = compare(left, right)
            else:
                one, other = (Approximate.of(each, self._digits).number for each in (left, right))
                holds = compare(one, other)
            if not holds:
                return False
            left = right
        return True

    def _bounded(self, value: _T) -> _T:
        if isinstance(value, Fraction):
            size = max(value.numerator.bit_length(), value.denominator.bit_length())
            if size > _MOST_BITS:
                raise ToolError("A number on the way has more than 4000 digits.", "too_large")
        return value


_EXACT: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
}
