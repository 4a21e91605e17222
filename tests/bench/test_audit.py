"""The audit's arithmetic: which right answers are drawn, what labels mean, what the report says."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.audit_report import MAJORITY, report, skill
from phronesis.bench.audit_run import FILE_NAME, Audited, Verdict, draw, item_id, missing, read_labels, verdicts
from phronesis.bench.running.item import AttemptGrade, Item
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message, Task


def item(task: str, *, arm: str = "a", group: str = "", correct: bool = True, **fields: Any) -> Item:
    return Item(arm=arm, set="s", repeat=0, task=task, status="ok", correct=correct, group=group, **fields)


def audited(one: Item, text: str = "") -> Audited:
    return Audited(one, Task(messages=(Message(role="user", content=one.task),)), text or f"so {one.task}")


def verdict(one: Audited, sound: bool | None, auditor: str = "m") -> Verdict:
    return Verdict(id=one.id, auditor=auditor, request=one.request, sound=sound)


def test_only_right_answers_are_drawn_and_arms_take_turns() -> None:
    items = [item(f"q{at}", arm=arm, correct=at % 2 == 0) for arm in ("a", "b") for at in range(40)]
    items += [item("broken", arm="c").model_copy(update={"status": "ungraded"})]
    drawn = draw(items, 12)
    assert all(one.correct for one in drawn) and Counter(one.arm for one in drawn) == {"a": 6, "b": 6}
    assert len({item_id(one) for one in drawn}) == 12
    assert draw(items, 500) and len(draw(items, 500)) == 40 and draw([], 5) == []


def test_a_longer_draw_begins_with_the_shorter_one_whatever_the_order_of_items() -> None:
    items = [item(f"q{at}", group=str(at % 3), arm="ab"[at % 2]) for at in range(60)]
    assert draw(items, 30)[:10] == draw(items, 10) == draw(items, 10, seed=0)
    assert {item_id(one) for one in draw(items, 10)} != {item_id(one) for one in draw(items, 10, seed=1)}
    assert [item_id(one) for one in draw(items[::2] + items[1::2], 10)] == [item_id(one) for one in draw(items, 10)]


def test_groups_come_in_proportion_to_their_size() -> None:
    items = [item(f"e{at}", group="easy") for at in range(60)] + [item(f"h{at}", group="hard") for at in range(20)]
    for size in (8, 16, 40):
        counts = Counter(one.group for one in draw(items, size))
        assert abs(counts["hard"] - size / 4) <= 1


def test_the_same_text_is_asked_about_once() -> None:
    one, copy, other = audited(item("q1"), "T"), audited(item("q1", arm="b"), "T"), audited(item("q1", arm="c"), "U")
    assert missing([one, copy, other], "m", {}) == [one, other]
    known = {("m", one.request): verdict(one, True)}
    assert missing([one, copy, other], "m", known) == [other]
    assert missing([one, copy], "n", known) == [one]


def test_a_line_that_is_no_verdict_is_named(tmp_path: Path) -> None:
    good = verdict(audited(item("q1")), None)
    (tmp_path / FILE_NAME).write_text(good.model_dump_json() + "\n" + '{"id": 3}\n' + '{"torn', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"audit\.jsonl:2"):
        verdicts(tmp_path)
    (tmp_path / FILE_NAME).write_text(good.model_dump_json() + "\n" + '{"torn', encoding="utf-8")
    assert verdicts(tmp_path) == {("m", good.request): good}
    assert verdicts(tmp_path / "none") == {}


def labels(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_labels_name_items_or_the_one_item_of_a_task(tmp_path: Path) -> None:
    known = {"a@s#0/q1": "q1", "a@s#0/q2": "q2", "b@s#0/q2": "q2"}
    path = labels(tmp_path / "l.json", {"q1": True, "b@s#0/q2": False, "q9": True})
    assert read_labels(path, known) == ({"a@s#0/q1": True, "b@s#0/q2": False}, ["q9"])
    with pytest.raises(ConfigurationError, match="'q2' was audited 2 times"):
        read_labels(labels(path, {"q2": True}), known)


@pytest.mark.parametrize(("text", "said"), [("[1]", "no JSON object"), ("{", "not JSON"), ('{"q1": "yes"}', "'yes'")])
def test_labels_that_are_none_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "l.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        read_labels(tmp_path / "l.json", {"a@s#0/q1": "q1"})
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_labels(tmp_path / "gone.json", {})


def attempts(right: int, count: int = 4) -> tuple[AttemptGrade, ...]:
    return tuple(AttemptGrade(id=f"c{at}", answer="1", correct=at < right, status="ok") for at in range(count))


def test_the_report_counts_flaws_and_takes_them_off() -> None:
    items = [item(f"q{at}", attempts=attempts(2)) for at in range(8)]
    items += [item(f"w{at}", correct=False, attempts=attempts(0)) for at in range(2)]
    chosen = [audited(one) for one in items[:5]]
    said = dict(zip((one.id for one in chosen), (True, True, True, False, None), strict=True))
    found = {"m": {one.id: verdict(one, said[one.id]) for one in chosen}}
    (row,) = report(items, chosen, found).rows
    assert (row.right, row.audited, row.flawed, row.sound, row.unknown) == (8, 5, 1, 3, 1)
    assert row.rate.value == 0.25 and row.rate.low < 0.25 < row.rate.high
    assert row.accuracy == 0.8 and row.corrected_accuracy == pytest.approx(0.6) and row.true_rate is None
    assert list(row.pass_at_k) == [1, 2, 4]
    assert row.pass_at_k[1] == pytest.approx((0.4, 0.3))
    assert row.pass_at_k[4] == pytest.approx((0.8, 0.8 * (1 - 0.25**2)))


def test_labels_tell_how_good_the_auditor_is() -> None:
    items = [item(f"q{at}") for at in range(10)]
    chosen = [audited(one) for one in items]
    said = {one.id: verdict(one, at >= 4) for at, one in enumerate(chosen)}
    truth = {one.id: at >= 5 for at, one in enumerate(chosen)}
    found = report(items, chosen, {"m": said}, truth)
    assert found.skills["m"].sensitivity == pytest.approx(4 / 5) and found.skills["m"].specificity == 1
    assert found.rows[0].true_rate == pytest.approx(0.4 / 0.8)
    assert found.rows[0].corrected_accuracy == pytest.approx(0.5)
    useless = skill({one.id: at % 2 == 0 for at, one in enumerate(chosen)}, {chosen[0].id: True})
    assert useless.sensitivity is None and useless.labelled == 1


def test_several_auditors_are_put_together_by_majority() -> None:
    items = [item(f"q{at}") for at in range(3)]
    chosen = [audited(one) for one in items]
    says = {"m": (True, False, True), "n": (True, False, False), "o": (False, None, None)}
    found = {
        name: {one.id: verdict(one, sound, name) for one, sound in zip(chosen, row, strict=True)}
        for name, row in says.items()
    }
    rows = {row.auditor: row for row in report(items, chosen, found).rows}
    assert list(rows) == ["m", "n", "o", MAJORITY]
    assert (rows[MAJORITY].sound, rows[MAJORITY].flawed, rows[MAJORITY].unknown) == (1, 1, 1)


def test_without_a_verdict_nothing_is_corrected() -> None:
    items = [item("q1", attempts=attempts(1))]
    chosen = [audited(items[0])]
    (row,) = report(items, chosen, {"m": {chosen[0].id: verdict(chosen[0], None)}}).rows
    assert row.unknown == 1 and math.isnan(row.rate.value) and math.isnan(row.corrected_accuracy)
    data = row.to_json()
    assert data["rate"] == [None, None, None] and data["corrected_accuracy"] is None and data["pass_at_k"] == {}


def test_verdicts_of_one_cluster_make_a_wide_interval() -> None:
    alone = [item(f"q{at}") for at in range(12)]
    together = [item(f"q{at}", cluster="one") for at in range(12)]
    widths = []
    for items in (alone, together):
        chosen = [audited(one) for one in items]
        said = {one.id: verdict(one, at % 3 > 0) for at, one in enumerate(chosen)}
        (row,) = report(items, chosen, {"m": said}).rows
        assert row.rate.value == pytest.approx(1 / 3)
        widths.append(row.rate.high - row.rate.low)
    assert widths[1] > 1.5 * widths[0]
