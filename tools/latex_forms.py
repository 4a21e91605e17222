"""One spelling for the many ways in which LaTeX writes an answer. Text work only: what it leaves apart may still be equal."""

from __future__ import annotations

import re
from fractions import Fraction

_LONGEST = 1000
"""Characters; what is longer is no final answer."""
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_BOXED = re.compile(r"\\f?box(?:ed)?\{(.*)\}", re.DOTALL)
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![a-zA-Z])\s*\.?(?=[^.\d]|$)")
_SPACES = re.compile(r"(?<!\\)\\[,;:! ]|\\q?quad(?![a-zA-Z])|~|\s+")
_SYNONYMS = (
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])|≤"), r"\\le "),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])|≥"), r"\\ge "),
    (re.compile(r"\\neq(?![a-zA-Z])|≠"), r"\\ne "),
    (re.compile(r"\\times(?![a-zA-Z])|×"), r"\\cdot "),
    (re.compile(r"\\(?:lbrace)(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace)(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"π"), r"\\pi "),
    (re.compile(r"∞"), r"\\infty "),
    (re.compile(r"√(\d+)"), r"\\sqrt{\1}"),
    (re.compile(r"√"), r"\\sqrt "),
    (re.compile(r"[−–]"), "-"),
)
_DEGREES = re.compile(r"\^\{?\s*\\circ\s*\}?|\\degrees?(?![a-zA-Z])|°")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_KEPT_WORDS = {"am", "pm", "and", "or", "base"}
"""Words after a number that are no unit."""
_UNIT = re.compile(
    r"((?:[-+]?\d[\d,]*(?:\.\d+)?|-?\\frac\s*\{-?\d+\}\s*\{-?\d+\}))\s+([A-Za-z]{2,}(?:\s+[A-Za-z]+)*)(?:\^\{?\d\}?)?\.?"
)
_NO_UNITS = _KEPT_WORDS | {"pi", "i", "sqrt", "mod", "sin", "cos", "tan", "log", "ln"}
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d|\{[^{}]*\})\s*(\d(?!\d)|\{[^{}]*\})")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\d)(?!\d)")
_SLASHED = re.compile(r"(-?)(\d+)/(\d+)")
_NAMED = re.compile(
    r"(?:[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z](?:,[A-Za-z])*\))?|\\(?:theta|alpha|beta|lambda))(?:=|\\in(?![a-zA-Z]))(?=.)"
)
_RELATION = re.compile(r"=|\\in(?![a-zA-Z])")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)")
_RATIO = re.compile(r"(-?)\\frac\{(-?\d+)\}\{(-?\d+)\}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z ]{2,}[A-Za-z]")


def canonical_latex(raw: str) -> str | None:
    """The answer in our spelling, or None when nothing is left of it or it is longer than any answer.

    Dropped are what wraps it (``$``, ``\\boxed``), spacing, ``\\left``, degree and percent signs, units after a number,
    ``x =`` before it, closing punctuation; ``\\dfrac12`` and ``1/2`` become ``\\frac{1}{2}``, ``1,234`` becomes ``1234``. The
    form of a form is itself."""
    if len(raw) > _LONGEST:
        return None
    text = raw
    for _ in range(12):
        before, text = text, _once(text)
        if text == before:
            break
    return text if text.strip(" $.,;:?*`") else None


def _once(text: str) -> str:
    text = _unwrapped(text.strip())
    for pattern, sign in _SYNONYMS:
        text = pattern.sub(sign, text)
    text = _DEGREES.sub("", _SIZES.sub("", text))
    text = re.sub(r"\\?%|\\\$|\\\\$", "", text).replace("{,}", ",")
    text = _spaced(_without_unit(_without_text(text)))
    text = text.lstrip(" :*`").rstrip(" .,;:?*`")
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", _SHORT_FRACTION.sub(_braced, text))
    if len(_RELATION.findall(text)) == 1 and (name := _NAMED.match(text)):
        text = text[name.end() :]
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if _PLAIN.fullmatch(text):
        return _plain(text)
    return _SLASHED.sub(r"\1\\frac{\2}{\3}", text) if _SLASHED.fullmatch(text) else text


def _braced(fraction: re.Match[str]) -> str:
    return "\\frac" + "".join(part if part.startswith("{") else f"{{{part}}}" for part in fraction.groups())


def _unwrapped(text: str) -> str:
    found = _BOXED.fullmatch(text)
    if found is not None and _closed(found[1]):
        return found[1].strip()
    for opening, closing in _WRAPS:
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner.strip() and opening not in inner:
            return inner.strip()
    return text


def _closed(text: str) -> bool:
    """Whether braces pair up inside the text."""
    depth = 0
    for sign in text:
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


def _without_text(text: str) -> str:
    """Words out of their commands; a unit after a number dropped."""
    whole = _TEXT.fullmatch(text)
    if whole is not None:
        return whole[1]
    last = list(_TEXT.finditer(text))[-1:]
    if last and re.fullmatch(r"\s*(?:\^\{?-?\d\}?)?[\s.]*", text[last[0].end() :]):
        before, word = text[: last[0].start()], last[0][1].replace(".", "").strip().casefold()
        if re.search(r"\d[^A-Za-z\\]*(?:\\pi)?\s*$", before) and not set(word.split()) & _KEPT_WORDS:
            return before
    return _TEXT.sub(r"\1", text)


def _without_unit(text: str) -> str:
    """A number alone, where nothing but words follow it."""
    found = _UNIT.fullmatch(text)
    return text if found is None or set(found[2].casefold().split()) & _NO_UNITS else found[1]


def _spaced(text: str) -> str:
    """Without spaces, but for one where two letters would run together."""
    text = _SPACES.sub(" ", text)
    return re.sub(r"(?<![A-Za-z]) | (?![A-Za-z])", "", text)


def _plain(text: str) -> str:
    """A decimal without a plus, without zeros that say nothing."""
    sign = "-" if text.startswith("-") else ""
    whole, _, part = text.lstrip("+-").partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    shown = f"{whole}.{part}" if part else whole
    return shown if shown == "0" else sign + shown


def number_of(form: str) -> Fraction | None:
    """The exact value of a form that is one number: a decimal or a fraction of whole numbers; else None."""
    if len(form) > 400:
        return None
    if _PLAIN.fullmatch(form):
        return Fraction(form)
    found = _RATIO.fullmatch(form)
    if found is None or not int(found[3]):
        return None
    value = Fraction(int(found[2]), int(found[3]))
    return -value if found[1] else value


def words_of(form: str) -> str | None:
    """A form that is words and no formula, case folded; else None. An algebra system would read words as products of letters,
    and ``east`` as equal to ``seat``."""
    return " ".join(form.split()).casefold() if _WORDS.fullmatch(form) else None
