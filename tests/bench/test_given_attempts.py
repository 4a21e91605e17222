"""Labelled attempts: what rows become questions, what is refused and how it is named, and runs that hold no label."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.given_attempts import GivenQuestion, grade_given, unlabelled
from phronesis.bench.given_sets import GivenRequest, load_given
from phronesis.bench.scorer_test import record_given
from phronesis.core.errors import ConfigurationError
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME
from phronesis.core.result import Candidate, Result
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.banks import Banks
from phronesis.graphs.registry import find, names
from phronesis.graphs.run import Run
from phronesis.graphs.sampling.given import GivenKnobs

NESTED = {
    "id": "sum",
    "question": "What is 2 + 2?",
    "answer_format": "number",
    "attempts": [{"text": "It is \\boxed{4}.", "right": True}, {"text": "It is \\boxed{5}.", "right": False}],
}
PROCESS = {
    "id": "gsm8k-1",
    "subset": "gsm8k",
    "problem": "What is 2 + 2?",
    "steps": ["Two and two are four.", "So \\boxed{4}."],
    "final_answer_correct": True,
    "label": -1,
}
PAIR = {
    "id": "llmbar-1",
    "subset": "Natural",
    "instruction": "Greet me.",
    "output_1": "Good day.\nAnswer: nothing",
    "output_2": "No.\nAnswer: nothing",
    "label": 1,
}


def written(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def load(path: Path | str, settings: Settings | None = None, **more: Any) -> list[GivenQuestion]:
    return load_given(GivenRequest(spec=str(path), **more), settings or load_settings())


def texts(questions: Sequence[GivenQuestion]) -> list[list[tuple[str, bool]]]:
    return [[(item.text, item.right) for item in question.attempts] for question in questions]


class TestOwnRows:
    def test_attempts_in_a_row_and_a_row_per_attempt_are_the_same(self, tmp_path: Path) -> None:
        flat = [
            {**{name: NESTED[name] for name in ("id", "question", "answer_format")}, "solution": text, "right": right}
            for text, right in (("It is \\boxed{4}.", True), ("It is \\boxed{5}.", False))
        ]
        nested, rows = load(written(tmp_path / "a.jsonl", NESTED)), load(written(tmp_path / "b.jsonl", *flat))
        assert nested == rows and texts(nested) == [[("It is \\boxed{4}.", True), ("It is \\boxed{5}.", False)]]

    def test_rows_of_one_question_are_grouped_wherever_they_stand(self, tmp_path: Path) -> None:
        rows = [{"question": q, "solution": f"s{n}", "right": n % 2 == 0} for n, q in enumerate(("A?", "B?", "A?"))]
        first, second = load(written(tmp_path / "a.jsonl", *rows))
        assert [item.text for item in first.attempts] == ["s0", "s2"] and len(second.attempts) == 1
        assert first.task.id and first.task.id != second.task.id, "ids follow from the questions"

    def test_answers_may_be_given_in_the_format(self, tmp_path: Path) -> None:
        row = {
            "question": "A?",
            "solution": "see there",
            "answer": "$1,200",
            "right": "true",
            "answer_format": "number",
        }
        (question,) = load(written(tmp_path / "a.jsonl", row))
        assert question.attempts[0].answer == "1200"

    def test_tables_are_read_too(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("question,solution,right\nA?,one,true\nA?,two,False\n", "utf-8")
        assert texts(load(path)) == [[("one", True), ("two", False)]]

    def test_the_format_of_rows_that_name_none(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", {"question": "A?", "solution": "5", "right": True})
        assert load(path)[0].task.answer_format == "text"
        assert load(path, format="number")[0].task.answer_format == "number"

    @pytest.mark.parametrize(
        ("row", "says"),
        [
            ("{", "a.jsonl:2 is not JSON"), ("[1]", "a.jsonl:2 is no object"),
            ({"solution": "s", "right": True}, "a.jsonl:2 has no question"),
            ({"question": "B?", "right": True}, "a.jsonl:2 has no solution"),
            ({"question": "B?", "solution": " ", "right": True}, "a.jsonl:2 has no solution"),
            ({"question": "B?", "solution": "s"}, "a.jsonl:2: the label right is missing"),
            ({"question": "B?", "solution": "s", "right": "perhaps"}, "'perhaps' is neither true nor false"),
            ({"question": "B?", "solution": "s", "right": 2}, "'2' is neither true nor false"),
            ({"question": "B?", "attempts": []}, "is no list of attempts"),
            ({"question": "B?", "attempts": ["s"]}, "attempt 1 is 's', no attempt"),
            ({"question": "B?", "attempts": [{"text": "s"}]}, "attempt 1: the label right is missing"),
            ({"question": "B?", "solution": "s", "right": 1, "answer": "f", "answer_format": "number"}, "'f' is no number"),
            ({"question": "B?", "solution": "s", "right": True, "answer_format": "numbr"}, "a.jsonl:2: answer_format"),
            ({"question": "B?", "solution": "s", "right": True, "id": [1]}, "id = [1]"),
            ({"question": "B?", "solution": "s", "right": True, "id": "a"}, "stands at"),
            ({"question": "A?", "solution": "good", "right": False}, "labelled right and wrong"),
        ],
    )  # fmt: skip
    def test_a_bad_row_is_named(self, tmp_path: Path, row: Any, says: str) -> None:
        path = written(tmp_path / "a.jsonl", {"id": "a", "question": "A?", "solution": "good", "right": True}, row)
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        assert says in caught.value.message and caught.value.mend

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"no labelled attempts .*nowhere\.jsonl"):
            load(tmp_path / "nowhere.jsonl")
        with pytest.raises(ConfigurationError) as caught:
            load("procesbench")
        assert caught.value.mend == "did you mean 'processbench'?"


class TestKnownSets:
    def settings(self, tmp_path: Path, name: str, *rows: Any) -> Settings:
        written(tmp_path / name / "dev.jsonl", *rows)
        return load_settings().model_copy(update={"data": tmp_path})

    def test_processbench(self, tmp_path: Path) -> None:
        maths = {**PROCESS, "id": "math-1", "subset": "math", "problem": "x?", "final_answer_correct": False}
        found = load("processbench", self.settings(tmp_path, "processbench", PROCESS, maths))
        assert texts(found) == [
            [("Two and two are four.\n\nSo \\boxed{4}.", True)],
            [("Two and two are four.\n\nSo \\boxed{4}.", False)],
        ]
        assert [item.task.answer_format for item in found] == ["number", "latex"]

    def test_llmbar_makes_two_attempts_that_are_their_own_answers(self, tmp_path: Path) -> None:
        (found,) = load("llmbar", self.settings(tmp_path, "llmbar", PAIR))
        assert [item.right for item in found.attempts] == [True, False]
        answers = [item["answer"] for item in json.loads(unlabelled([found]))["attempts"]]
        assert len(set(answers)) == 2, "equal last lines do not make the outputs equal"

    def test_a_copy_in_a_file_is_known_by_its_columns(self, tmp_path: Path) -> None:
        assert load(written(tmp_path / "mine.jsonl", PAIR))[0].task.question == "Greet me."
        assert load(written(tmp_path / "steps" / "dev.jsonl", PROCESS).parent)[0].task.id == "gsm8k-1"

    @pytest.mark.parametrize(
        ("name", "row", "says"),
        [
            ("processbench", {**PROCESS, "steps": []}, "dev.jsonl:1: steps"),
            ("processbench", {**PROCESS, "final_answer_correct": None}, "the label right is missing"),
            ("llmbar", {**PAIR, "label": 3}, "dev.jsonl:1: label = '3'"),
            ("llmbar", {**PAIR, "output_2": ""}, "dev.jsonl:1: output_2"),
        ],
    )
    def test_a_broken_row_is_named(self, tmp_path: Path, name: str, row: Any, says: str) -> None:
        with pytest.raises(ConfigurationError, match="dev") as caught:
            load(name, self.settings(tmp_path, name, row))
        assert says in caught.value.message

    def test_without_the_data_it_says_where_they_belong(self) -> None:
        with pytest.raises(ConfigurationError, match="'llmbar' are not here") as caught:
            load("llmbar")
        assert "PHRONESIS_DATA" in str(caught.value.mend)


class TestChoosing:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        kinds = ("Natural", "Adversarial/Manual", "Adversarial/Neighbor")
        rows = [{**PAIR, "id": f"p{n}", "instruction": f"Say {n}.", "subset": kinds[n % 3]} for n in range(9)]
        return written(tmp_path / "a.jsonl", *rows)

    @pytest.mark.parametrize(
        ("values", "ids"),
        [(("Natural",), "036"), (("Adversarial",), "124578"), (("Natural", "Adversarial/M"), "013467")],
    )
    def test_where_takes_whole_values_or_what_they_begin_with(
        self, path: Path, values: tuple[str, ...], ids: str
    ) -> None:
        assert "".join(item.task.id[1] for item in load(path, where={"subset": values})) == ids

    def test_a_value_that_rows_have_is_no_beginning(self, tmp_path: Path) -> None:
        rows = [{"question": f"{n}?", "solution": "s", "right": True, "level": str(n)} for n in (1, 10)]
        assert len(load(written(tmp_path / "a.jsonl", *rows), where={"level": ("1",)})) == 1

    def test_a_field_or_value_that_no_row_has(self, path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no row has the field 'subst'"):
            load(path, where={"subst": ("Natural",)})
        with pytest.raises(ConfigurationError, match="no row has subset = math"):
            load(path, where={"subset": ("math",)})

    def test_limit_counts_questions_and_a_shuffle_has_a_seed(self, path: Path) -> None:
        whole, first = load(path), load(path, limit=4)
        assert first == whole[:4]
        shuffled = load(path, shuffle=1, limit=4)
        assert (
            shuffled == load(path, shuffle=1)[:4] and shuffled != first and shuffled != load(path, shuffle=2, limit=4)
        )


def record(questions: Sequence[GivenQuestion], format: str = "text") -> str:
    async def go() -> str:
        try:
            return await record_given(questions, models={}, format=format, settings=load_settings(), parallel=4)
        finally:
            await close_pools()

    return asyncio.run(go())


def held(run: str, task: str) -> Sequence[Candidate]:
    return Banks(load_settings()).attempts(run, task)


class TestRuns:
    """No server runs in these tests: given attempts ask nobody."""

    def test_a_run_holds_the_attempts_and_no_label(self, tmp_path: Path) -> None:
        questions = load(written(tmp_path / "a.jsonl", NESTED))
        run = record(questions)
        first, second = held(run, "sum")
        assert (first.text, first.answer, second.answer) == ("It is \\boxed{4}.", "4", "5")
        journal = (load_settings().runs / run / FILE_NAME).read_text("utf-8")
        assert '"right"' not in journal and "a.jsonl" not in journal

    def test_the_file_is_not_needed_any_more(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", NESTED)
        run = record(load(path))
        path.unlink()
        assert not list((load_settings().home / "given").iterdir())

        async def again() -> list[Result]:
            async with await Run.resume(run, settings=load_settings()) as resumed:
                return [result async for result in resumed.solve_all(resumed.tasks)]

        (result,) = asyncio.run(again())
        assert len(result.candidates) == 2 and result.usage.calls == 0

    def test_attempts_without_an_answer_are_answers_of_their_own(self, tmp_path: Path) -> None:
        row = {"question": "How many?", "answer_format": "number", "id": "a"}
        tries = [{"text": text, "right": False} for text in ("I do not know.", "Who knows?", "It is 7.")]
        run = record(load(written(tmp_path / "a.jsonl", {**row, "attempts": tries})))
        first, second, third = held(run, "a")
        assert (first.answer, second.answer) == ("the whole of attempt 1", "the whole of attempt 2")
        assert third.answer == "7" and {item.status for item in (first, second, third)} == {"ok"}

    def test_the_last_line_of_prose_is_no_answer(self, tmp_path: Path) -> None:
        texts_ = ("One thing.\nThank you.", "Another thing.\nThank you.", "Answer: Paris", "Rome")
        tries = [{"text": text, "right": False} for text in texts_]
        run = record(load(written(tmp_path / "a.jsonl", {"question": "Where?", "id": "a", "attempts": tries})))
        found = [item.answer for item in held(run, "a")]
        assert found == ["the whole of attempt 1", "the whole of attempt 2", "paris", "rome"]

    def test_equal_answers_are_one(self, tmp_path: Path) -> None:
        tries = [{"text": text, "right": True} for text in ("It is 0.5.", "It is \\boxed{1/2}.")]
        row = {"question": "How much?", "answer_format": "number", "id": "a", "attempts": tries}
        assert len({item.answer for item in held(record(load(written(tmp_path / "a.jsonl", row))), "a")}) == 1

    def test_steps_are_those_of_the_text(self, tmp_path: Path) -> None:
        run = record(load(written(tmp_path / "a.jsonl", PROCESS)))
        assert held(run, "gsm8k-1")[0].steps == ("Two and two are four.", "So \\boxed{4}.")

    def test_the_strategy_is_internal_and_costs_nothing(self) -> None:
        assert "given" not in names()
        strategy = find("given")
        law = strategy.cost(GivenKnobs(attempts="a"))
        assert (law.most, strategy.needs(GivenKnobs(attempts="a"))) == ((0, 0), {})


class TestGrading:
    def questions(self, tmp_path: Path) -> list[GivenQuestion]:
        return load(written(tmp_path / "a.jsonl", NESTED))

    def test_labels_follow_the_texts(self, tmp_path: Path) -> None:
        made = (Candidate(id="c0", text="It is \\boxed{5}.", answer="5"), Candidate(id="c1", text="It is \\boxed{4}."))
        (found,) = grade_given(
            [Result(task_id="sum", status="ok", answer="5", candidates=made)], self.questions(tmp_path)
        )
        assert found.right == (False, True)

    def test_an_attempt_that_nobody_labelled_is_refused(self, tmp_path: Path) -> None:
        made = (Candidate(id="c0", text="It is 6.", answer="6"),)
        with pytest.raises(ConfigurationError, match="c0 at 'sum' is not among the labelled ones"):
            grade_given([Result(task_id="sum", status="ok", answer="6", candidates=made)], self.questions(tmp_path))
