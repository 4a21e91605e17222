"""The calculator: exact values, what it refuses, and that nothing it is given costs much."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.core.errors import ToolError
from phronesis.tools.calculator import calculator


def value(expression: str) -> str:
    return asyncio.run(calculator.call({"expression": expression})).text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("0.1 + 0.2", "0.3"), ("3 * 19.99", "59.97"), ("1.005 * 100", "100.5"), ("2.50", "2.5"), ("-2**2", "-4"),
        ("15% of 80", "12"), ("200 * 10%", "20"), ("10 % 3", "1"), ("(50)% of 10", "5"), ("100 - 20%", "99.8"),
        ("7 // 2", "3"), ("1/3", "1/3 (about 0.333333333333333)"), ("2^10", "1024"), ("2*3^2", "18"), ("6 ÷ 3 × 2 − 1", "3"),
        ("sqrt(16)", "4"), ("sqrt(2)**2", "2"), ("2**0.5", "1.4142135623731"), ("sin(pi)", "0"), ("cos(0)", "1"),
        ("log(8, 2)", "3"), ("log10(1000)", "3"), ("ln(e)", "1"), ("exp(0)", "1"), ("degrees(pi)", "180"),
        ("round(2.665, 2)", "2.67"), ("round(-2.5)", "-3"), ("round(1234.5, -2)", "1200"), ("floor(-1.5)", "-2"),
        ("min(3, 1, 2)", "1"), ("max(1, 2) + sum(1, 2, 3)", "8"), ("mean(1, 2)", "1.5"), ("percent(1, 8)", "12.5"),
        ("factorial(20)", "2432902008176640000"), ("comb(5, 2)", "10"), ("gcd(12, 18)", "6"), ("1_000 + 1e3", "2000"),
        ("2**-2", "0.25"), ("abs(-3)", "3"), ("1e-20", "0.00000000000000000001"), ("PI * 0", "0"),
        ("9007199254740993 + 0.1", "9007199254740993.1"),
    ],
)  # fmt: skip
def test_values(expression: str, text: str) -> None:
    assert value(expression) == text


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "no expression"), ("2x", "letters stand right behind a number"), ("1,234 + 2", "comma"),
        ("2(3)", "lacks an operator"),
        ("$3 * 2", "no expression"), ("3 = 3", "no expression"), ("3 > 2", "no arithmetic"), ("x + 1", "'x' has no value"),
        ("sqrrt(4)", "no function 'sqrrt'"), ("sqrt()", "takes 1 values"), ("1 / 0", "divides by zero"),
        ("0 ** -1", "by zero"),
        ("sqrt(-1)", "no value"), ("(-8) ** 0.5", "no real number"), ("ln(0)", "no value"), ("asin(2)", "no value"),
        ("True", "no number"), ("1j", "letters"), ("'a' * 9", "no number"), ("5!", "no expression"), ("[1]", "no arithmetic"),
        ("__import__('os').system('true')", "no arithmetic"), ("(1).real", "no arithmetic"), ("abs(x=1)", "no arithmetic"),
        ("lambda: 1", "no arithmetic"), ("(x := 5)", "no arithmetic"), ("f'{1}'", "no arithmetic"),
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused_with_a_reason(expression: str, says: str) -> None:
    with pytest.raises(ToolError, match=says) as caught:
        value(expression)
    assert caught.value.mend


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9", "10**(10**9)", "1e999999", "factorial(10**9)", "exp(1e9)", "1.0001**(10**8)", "comb(10**9, 5)",
        "cos(1e400)",
        "(" * 300 + "1" + ")" * 300, "1+" * 600 + "1", "2**" * 50 + "2", "factorial(1000)**9", "round(1, 10**9)",
    ],
)  # fmt: skip
def test_what_would_cost_much_is_refused_at_once(expression: str) -> None:
    with pytest.raises(ToolError):
        value(expression)


def test_signs_in_a_row_cost_no_more_than_their_number() -> None:
    assert value("-" * 90 + "1") == "1"


def test_a_wrong_type_is_named() -> None:
    with pytest.raises(ToolError, match="expression = 3 does not fit"):
        asyncio.run(calculator.call({"expression": 3}))


@given(st.text(alphabet="0123456789.+-*/()%, eEsqrtpimax^", max_size=40))
def test_any_text_is_a_value_or_a_tool_error(text: str) -> None:
    try:
        assert value(text)
    except ToolError as error:
        assert error.message


@given(st.decimals(-(10**6), 10**6, places=2), st.decimals(-(10**6), 10**6, places=2))
def test_sums_of_money_are_exact(left: object, right: object) -> None:
    assert float(value(f"({left}) + ({right})")) == float(left + right)  # type: ignore[operator]  # decimals
