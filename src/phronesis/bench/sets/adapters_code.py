"""Programs and queries: HumanEval, MBPP, Spider."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.dataset import Example
from phronesis.bench.sets.adapter import Adapter, Fields, Source, example, items, text
from phronesis.core.errors import ConfigurationError


def humaneval(fields: Fields) -> Example:
    """The official tests (a ``check`` function), and further ones where the set has them; none is shown but the docstring's.

    The preamble is the prompt: its imports and helper functions stand before the reply, and a reply that is a function's
    body goes on with it."""
    prompt, name = text(fields, "question"), text(fields, "entry_point")
    question = (
        "Complete this Python function. The answer is the whole function with the imports it needs, in one ```python "
        f"block.\n\n```python\n{prompt.strip()}\n```"
    )
    facts = {
        "tests": [text(fields, "test").strip()],
        "entry_point": name,
        "preamble": prompt,
        "plus_tests": fields.get("plus_tests") or [],
        "atol": fields.get("atol") or 0,
    }
    gold = prompt + text(fields, "canonical_solution")
    return example(fields, question, gold, format="code", grader="code", facts=facts)


class MbppOptions(BaseModel):
    """Options of MBPP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shown: int = Field(default=1, ge=0)
    """Asserts that the question shows; the others score. At least one is held back."""


def mbpp(source: Source, options: MbppOptions) -> Adapter:
    """One sentence, the function's name and the first asserts; the others are held back and score."""

    def adapt(fields: Fields) -> Example:
        tests, code = [str(item) for item in items(fields, "test_list")], text(fields, "code")
        shown = tests[: min(options.shown, len(tests) - 1)]
        name = _called(tests[0], code)
        parts = [text(fields, "question").strip()]
        if name:
            parts.append(f"The function is called {name}.")
        if shown:
            parts.append("It must pass\n```python\n" + "\n".join(shown) + "\n```")
        parts.append("The answer is the whole function with the imports it needs, in one ```python block.")
        facts = {
            "tests": tests[len(shown) :],
            "shown": shown,
            "entry_point": name,
            "preamble": "\n".join(fields.get("test_imports") or []),
        }
        return example(fields, "\n".join(parts), code, format="code", grader="code", facts=facts)

    return adapt


def _called(test: str, code: str) -> str:
    """The function of the reference that the assert calls."""
    defined = re.findall(r"(?m)^def\s+(\w+)", code)
    return next((str(name) for name in defined if re.search(rf"\b{name}\s*\(", test)), "")


def spider(source: Source, options: BaseModel) -> Adapter:
    """The database's CREATE statements are the context. Grouped by hardness, questions whose right result is empty apart;
    paraphrases of one query are a cluster."""
    schemas: dict[str, str] = {}

    def adapt(fields: Fields) -> Example:
        database, sql = text(fields, "db_id"), text(fields, "gold_sql")
        path = f"databases/{database}.sql"
        if database not in schemas:
            schemas[database] = _schema((source.folder or Path()) / path)
        question = (
            f"{text(fields, 'question')}\n\nThe answer is one SQLite query over these tables, in one ```sql block. It "
            "gives the columns that are asked for and no others."
        )
        return example(
            fields,
            question,
            sql,
            format="code",
            grader="sql",
            facts={"db": path, "gold_sql": sql, "ordered": bool(fields.get("ordered"))},
            group="empty result" if fields.get("gold_empty") else fields.get("hardness"),
            cluster=f"{database}-{hashlib.blake2b(sql.encode(), digest_size=5).hexdigest()}",
            context=schemas[database],
        )

    return adapt


def _schema(path: Path) -> str:
    try:
        dump = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read the database {str(path)!r}: {error}", mend="put the set's databases beside its rows"
        ) from None
    return "\n".join(item.strip() for item in re.findall(r"(?ims)^\s*CREATE TABLE.*?\);", dump))
