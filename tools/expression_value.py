"""Values of written expressions: exact where the sum is exact (0.1 + 0.2 is 0.3), else to some fifteen digits.

Nothing is executed: the text is parsed, and only numbers, ``+ - * / // % **`` and the functions named here are known. What a
value may come to is bounded before it is computed, so that no expression costs more than some milliseconds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, InvalidOperation
from decimal import Overflow as DecimalOverflow
from difflib import get_close_matches
from fractions import Fraction
from math import acos, asin, atan, atan2, ceil, comb, cos, factorial, floor, gcd, isqrt, lcm, perm, sin, tan

from phronesis.core.errors import ToolError

LONGEST = 1000
"""Characters of an expression."""
_DIGITS = 4000
"""Digits before or behind the point that a value may have."""
_BITS = 13_000
"""The same in bits, of numerator and denominator."""
_MOST_FACTORIAL = 1000
_PRECISE = Context(prec=40, Emax=10**6, Emin=-(10**6), traps=[InvalidOperation, DecimalOverflow])
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "π": "pi", "\n": " "})
_PERCENT = re.compile(r"%(?!\s*[\w.(])|%(?=\s*of\b)")
"""A percent sign, where no operand follows; elsewhere it is the remainder."""


class _Inexact(Fraction):
    """A value that was rounded somewhere."""


def value_of(expression: str) -> Fraction:
    """The value. Raises ToolError for what is no expression, has no value, or is too large."""
    if len(expression) > LONGEST:
        raise ToolError(
            f"the expression has {len(expression)} characters, at most {LONGEST} are read", mend="compute it in parts"
        )
    text = expression.translate(_SIGNS).replace("^", "**").strip()
    text = re.sub(r"(?<=/100\))\s*of\b", "*", _PERCENT.sub("*(1/100)", text))
    if re.search(r"\d(?![eE][-+]?\d|_\d)[A-Za-z_]", text):
        raise ToolError(f"{expression!r} is no expression: letters stand right behind a number", mend=_HOW)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ToolError(f"{expression!r} is no expression: {said}", mend=_HOW) from None
    try:
        return _Reader(text).value(tree.body)
    except ZeroDivisionError:
        raise ToolError(f"{expression!r} divides by zero", mend="check the divisor") from None
    except (OverflowError, DecimalOverflow):
        raise ToolError(f"a value in {expression!r} is too large", mend="compute with smaller numbers") from None
    except RecursionError:
        raise ToolError("the expression is nested too deeply", mend="compute it in parts") from None


def shown(value: Fraction) -> str:
    """The value for a reader: whole numbers and decimals exactly, other fractions also as a decimal, rounded ones to fifteen
    digits."""
    if value.denominator == 1 and (not isinstance(value, _Inexact) or abs(value) < 10**15):
        return str(value.numerator)
    if isinstance(value, _Inexact):
        return _rounded(value)
    places = _places(value.denominator)
    if places is not None:
        digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
        return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    exact = f"{value.numerator}/{value.denominator}"
    return f"{exact} (about {_rounded(value)})" if len(exact) <= 40 else _rounded(value)


_HOW = "write numbers, + - * / ** ( ) and functions like sqrt(2); no units, no currency, no thousands commas, no ="


def _rounded(value: Fraction) -> str:
    decimal = _decimal(value)
    near = Context(prec=15).plus(decimal).normalize()
    return f"{near:f}" if -6 <= near.adjusted() < 21 else f"{near:e}"


def _places(denominator: int) -> int | None:
    """Decimal places of a fraction that ends, or None."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


class _Reader:
    """Walks the tree of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=bool() | None | str() | bytes() | complex()):
                raise ToolError(f"{self._part(node)!r} is no number", mend=_HOW)
            case ast.Constant():
                return self._number(self._part(node))
            case ast.UnaryOp(op=ast.USub()):
                operand = self.value(node.operand)
                return _kept(-operand, operand)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.value(node.operand)
            case ast.BinOp():
                left, right = self.value(node.left), self.value(node.right)
                operation = _OPERATIONS.get(type(node.op))
                if operation is None:
                    raise ToolError(f"{self._part(node)!r} uses an operator that is not known", mend=_HOW)
                return _kept(operation(left, right), left, right)
            case ast.Name(id=name) if name.lower() in _CONSTANTS:
                return _CONSTANTS[name.lower()]
            case ast.Name(id=name):
                raise ToolError(f"{name!r} has no value here", mend=_near(name, {**_CONSTANTS, **_FUNCTIONS}))
            case ast.Call(func=ast.Name(id=name), args=given, keywords=[]):
                return self._called(name, [self.value(argument) for argument in given])
            case ast.Tuple():
                raise ToolError(
                    "a comma stands between numbers", mend="write 1234.5, not 1,234.5; or use min, max, sum ( ... )"
                )
            case ast.Call(func=ast.Constant() | ast.BinOp()):
                raise ToolError(f"{self._part(node)!r} lacks an operator", mend="write * between the factors")
        raise ToolError(f"{self._part(node)!r} is no arithmetic", mend=_HOW)

    def _part(self, node: ast.expr) -> str:
        part = ast.get_source_segment(self._text, node) or self._text
        return part if len(part) <= 60 else f"{part[:57]}..."

    def _number(self, text: str) -> Fraction:
        text = text.replace("_", "")
        exponent = re.search(r"[eE]([-+]?\d+)$", text)
        if exponent and abs(int(exponent[1])) > _DIGITS:
            raise OverflowError
        return _kept(Fraction(text))

    def _called(self, name: str, values: list[Fraction]) -> Fraction:
        known = _FUNCTIONS.get(name.lower())
        if known is None:
            raise ToolError(f"there is no function {name!r}", mend=_near(name, _FUNCTIONS))
        least, most, function = known
        if not least <= len(values) <= most:
            wanted = str(least) if least == most else f"{least} or more" if most > 9 else f"{least} to {most}"
            raise ToolError(f"{name} takes {wanted} values, not {len(values)}", mend="put commas between the values")
        try:
            return _kept(function(*values), *values)
        except (InvalidOperation, ValueError) as error:
            said = f": {error}" if isinstance(error, _Domain) else ""
            given = ", ".join(shown(value)[:40] for value in values)
            raise ToolError(f"{name}({given}) has no value{said}", mend="check the values") from None


class _Domain(ValueError):
    """A function has no value there; says why."""


def _kept(value: Fraction, *operands: Fraction) -> Fraction:
    """The value, marked as rounded when an operand was. Raises OverflowError when it is too large to go on with."""
    if value.numerator.bit_length() > _BITS or value.denominator.bit_length() > _BITS:
        raise OverflowError
    rounded = isinstance(value, _Inexact) or any(isinstance(operand, _Inexact) for operand in operands)
    return _Inexact(value) if rounded else Fraction(value)


def _near(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _decimal(value: Fraction) -> Decimal:
    return _PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))


def _of_decimal(value: Decimal) -> Fraction:
    if value and value.adjusted() > _DIGITS:
        raise OverflowError
    return _Inexact(0) if value and value.adjusted() < -_DIGITS else _Inexact(value)


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator == 1:
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if (size - 1) * abs(exponent.numerator) > _BITS:
            raise OverflowError
        return Fraction(base) ** exponent.numerator
    if base < 0:
        raise ToolError(f"({shown(base)}) ** {shown(exponent)} is no real number", mend="check the base")
    if exponent == Fraction(1, 2):
        return _square_root(base)
    return _of_decimal(_PRECISE.power(_decimal(base), _decimal(exponent))) if base else Fraction(0) ** 1


def _square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise _Domain("it is negative")
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return _of_decimal(_PRECISE.sqrt(_decimal(value)))


def _round(value: Fraction, places: Fraction = Fraction(0)) -> Fraction:
    """Halves away from zero, as at school and in shops."""
    if abs(places) > 100:
        raise _Domain("at most 100 places")
    scale = Fraction(10) ** _whole(places)
    near = Fraction(floor(abs(value) * scale + Fraction(1, 2))) / scale
    return near if value >= 0 else -near


def _whole(value: Fraction) -> int:
    if value.denominator != 1:
        raise _Domain(f"{shown(value)} is no whole number")
    return value.numerator


def _count(value: Fraction, most: int) -> int:
    number = _whole(value)
    if not 0 <= number <= most:
        raise _Domain(f"whole numbers from 0 to {most} only")
    return number


def _logarithm(value: Fraction, base: Fraction | None = None) -> Fraction:
    if value <= 0 or (base is not None and (base <= 0 or base == 1)):
        raise _Domain("logarithms are of positive numbers, to a positive base other than 1")
    top = _PRECISE.ln(_decimal(value))
    if base is None:
        return _of_decimal(top)
    found = _of_decimal(_PRECISE.divide(top, _PRECISE.ln(_decimal(base))))
    near = round(found)
    whole = abs(found - near) < Fraction(1, 10**30) and abs(near) <= _BITS
    return Fraction(near) if whole and _power(base, Fraction(near)) == value else found


def _floating(function: Callable[..., float]) -> Callable[..., Fraction]:
    """A function of floats; what it brings is off by some 1e-16, so what should be 0 is."""

    def found(*values: Fraction) -> Fraction:
        given = [float(value) for value in values]
        result = function(*given)
        return _Inexact(0 if abs(result) < 1e-15 and all(abs(value) > 1e-8 for value in given) else result)

    return found


def _mean(*values: Fraction) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: lambda left, right: left % right,
    ast.Pow: _power,
}
_CONSTANTS = {
    "pi": _Inexact(Decimal("3.1415926535897932384626433832795028841972")),
    "tau": _Inexact(Decimal("6.2831853071795864769252867665590057683943")),
    "e": _Inexact(Decimal("2.7182818284590452353602874713526624977572")),
}
_MANY = 1000
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Fraction]]] = {
    "sqrt": (1, 1, _square_root),
    "abs": (1, 1, abs),
    "round": (1, 2, _round),
    "floor": (1, 1, lambda value: Fraction(floor(value))),
    "ceil": (1, 1, lambda value: Fraction(ceil(value))),
    "min": (1, _MANY, min),
    "max": (1, _MANY, max),
    "sum": (1, _MANY, lambda *values: sum(values, Fraction(0))),
    "mean": (1, _MANY, _mean),
    "percent": (2, 2, lambda part, whole: 100 * part / whole),
    "factorial": (1, 1, lambda value: Fraction(factorial(_count(value, _MOST_FACTORIAL)))),
    "comb": (2, 2, lambda n, k: Fraction(comb(_count(n, _MOST_FACTORIAL), _count(k, _MOST_FACTORIAL)))),
    "perm": (2, 2, lambda n, k: Fraction(perm(_count(n, _MOST_FACTORIAL), _count(k, _MOST_FACTORIAL)))),
    "gcd": (1, _MANY, lambda *values: Fraction(gcd(*map(_whole, values)))),
    "lcm": (1, _MANY, lambda *values: Fraction(lcm(*map(_whole, values)))),
    "exp": (1, 1, lambda value: _of_decimal(_PRECISE.exp(_decimal(value)))),
    "ln": (1, 1, _logarithm),
    "log": (1, 2, _logarithm),
    "log10": (1, 1, lambda value: _logarithm(value, Fraction(10))),
    "log2": (1, 1, lambda value: _logarithm(value, Fraction(2))),
    "sin": (1, 1, _floating(sin)),
    "cos": (1, 1, _floating(cos)),
    "tan": (1, 1, _floating(tan)),
    "asin": (1, 1, _floating(asin)),
    "acos": (1, 1, _floating(acos)),
    "atan": (1, 1, _floating(atan)),
    "atan2": (2, 2, _floating(atan2)),
    "degrees": (1, 1, lambda value: value * 180 / _CONSTANTS["pi"]),
    "radians": (1, 1, lambda value: value * _CONSTANTS["pi"] / 180),
}
