"""What a check says when a law does not hold. Plain ``assert`` is silent about values, and gone under ``python -O``."""

from __future__ import annotations

from collections.abc import Callable

from phronesis.core.errors import PhronesisError


def expect(true: bool, said: str) -> None:
    """Raises AssertionError with what was said."""
    if not true:
        raise AssertionError(said)


def expect_equal(found: object, wanted: object, what: str) -> None:
    """Raises AssertionError that names both."""
    if found != wanted:
        raise AssertionError(f"{what}: found {found!r}, wanted {wanted!r}")


def expect_refused(kind: type[PhronesisError], call: Callable[[], object], *, naming: str, what: str) -> PhronesisError:
    """The error the call raised; AssertionError unless it is of the kind and its message names the value."""
    try:
        found = call()
    except kind as error:
        expect(naming in error.message, f"{what}: the message does not name {naming!r}: {error.message!r}")
        return error
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}({error}) instead of {kind.__name__}") from error
    raise AssertionError(f"{what}: {found!r} instead of {kind.__name__}")
