"""The unit converter: as a function, as a tool, and by its name."""

from __future__ import annotations

import asyncio

import pytest
from unit_converter import convert

from phronesis.core.errors import ToolError
from phronesis.tools.table import find_tool


def test_it_is_still_a_function() -> None:
    assert convert(1, "ft", "in") == "12 in"


def test_arguments_are_checked() -> None:
    assert asyncio.run(convert.call({"value": "26.2", "unit": "mi", "to": "km"})).text == "42.1648128 km"
    with pytest.raises(ToolError, match="unit = 'mile' does not fit"):
        asyncio.run(convert.call({"value": 1, "unit": "mile", "to": "km"}))


def test_it_is_found_by_its_name() -> None:
    assert find_tool("unit_converter").summary == "Converts a length into another unit."
