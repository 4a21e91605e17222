"""Questions whose answer is a word, a letter or yes or no: BIG-Bench Hard and StrategyQA."""

from __future__ import annotations

from typing import Any

from phronesis.bench.dataset import Example
from phronesis.bench.sets.adapter import Fields, example, text
from phronesis.bench.sets.adapters_maths import options_of
from phronesis.core.task import AnswerFormat

_FORMS = {
    "boolean_expressions": "Answer True or False.",
    "dyck_languages": "Answer with the missing closing brackets alone, with a space between them.",
    "formal_fallacies": "Answer valid or invalid.",
    "word_sorting": "Answer with the sorted words, with a space between them.",
}
"""BBH tasks -> the form of their answers, where the question leaves it open."""
_NUMBERS = ("multistep_arithmetic_two", "object_counting")
_MOST_LETTERS = 10
"""The choice format reads letters up to J."""


def bbh(fields: Fields) -> Example:
    """Choices by letter, numbers by value, yes and no, the rest as text; grouped by task."""
    question, gold, task = text(fields, "question"), text(fields, "answer"), text(fields, "task")
    format: AnswerFormat = "text"
    facts: dict[str, Any] = {}
    grader, form = "exact", _FORMS.get(task, "")
    if gold.startswith("(") and gold.endswith(")") and len(gold) == 3:
        options = options_of(question.split("Options:")[-1])
        form = "Answer with the letter of the right option."
        if len(options) <= _MOST_LETTERS:
            format, grader, gold, facts = "choice", "choice", gold[1], {"options": options}
        else:
            facts = {"aliases": [gold, gold[1]]}
    elif task in _NUMBERS:
        format, grader = "number", "answer"
    elif gold.casefold() in ("yes", "no", "true", "false"):
        grader, form = "yes_no", form or "Answer yes or no."
    asked = f"{question}\n\n{form}" if form else question
    return example(fields, asked, gold, format=format, grader=grader, facts=facts, group=task)


def strategyqa(fields: Fields) -> Example:
    """The annotators' facts and sub-questions, which give most answers away, stay out."""
    if not isinstance(fields.get("answer"), bool):
        raise ValueError(f"answer = {fields.get('answer')!r} is neither true nor false")
    question = f"{text(fields, 'question')}\n\nAnswer yes or no."
    return example(fields, question, "yes" if fields["answer"] else "no", format="text", grader="yes_no")
