"""Bytes to text: UTF-8, byte order marks, an encoding somebody named. Nothing is guessed: a guess that is wrong a little is
an error nobody sees."""

from __future__ import annotations

import codecs

from phronesis.core.errors import ConfigurationError
from phronesis.tools.knowledge.documents import Unreadable

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def check_encoding(name: str) -> None:
    """Raises ConfigurationError for an encoding Python does not know as one of text."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ConfigurationError(f"unknown encoding {name!r}", mend="for example utf-8, cp1252 or shift_jis") from None


def decoded(data: bytes, *, encoding: str | None = None) -> str:
    """The text. A byte order mark wins, then ``encoding``, then UTF-8. Raises Unreadable that names the byte."""
    name = next((name for mark, name in _MARKS if data.startswith(mark)), encoding or "utf-8")
    if b"\0" in data and not name.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        raise Unreadable(f"binary: byte {data.index(0)} is zero")
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"not {error.encoding}: byte {error.start} is 0x{data[error.start]:02x}; --encoding names another one"
        ) from None
