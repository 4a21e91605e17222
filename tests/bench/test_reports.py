"""Report pages of bench folders made by hand: what stands in them, whatever the data hold, and clear errors."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from phronesis.bench.reports.caveats import resolution
from phronesis.bench.reports.item_table import ROWS
from phronesis.bench.reports.material import read_material
from phronesis.bench.reports.report import Report, build_report, html_page, write_report
from phronesis.bench.reports.svg import visible
from phronesis.bench.running.item import AttemptGrade, CallCost, Failure, Item
from phronesis.bench.running.plan import Arm, BenchPlan
from phronesis.bench.sets.request import SetRequest
from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError

VOID = {"meta", "br", "input", "col", "link", "img", "hr"}
NUL, ESCAPE, BELL, OVERRIDE = "\x00", "\x1b[31m", "\x07", "\u202e"
HOSTILE = (
    "</script><script>alert(1)</script> \"quoted\" 'x' <img src=x onerror=y> [a](b) | `c` "
    f"{NUL}{ESCAPE}{BELL}{OVERRIDE}abc & {'w' * 3000}"
)


def item(arm: str, task: str, *, right: bool = True, **more: Any) -> Item:
    attempts = tuple(
        AttemptGrade(id=f"c{index}", answer="5" if good else "6", correct=good, status="ok", tokens=20, reward=0.5)
        for index, good in enumerate((right, right, not right))
    )
    usual: dict[str, Any] = {
        "arm": arm,
        "set": "sums",
        "repeat": 0,
        "task": task,
        "status": "ok",
        "correct": right,
        "score": float(right),
        "parsed": True,
        "answer": "5" if right else "6",
        "gold": "5",
        "stop": "finished",
        "seconds": 1.5,
        "calls": (CallCost(role="solver", level=1, calls=3, prompt_tokens=30, completion_tokens=60, longest=20),),
        "attempts": attempts,
        "run_id": f"run-{arm}",
    }
    return Item(**{**usual, **more})


def folder_of(path: Path, items: Sequence[Item], *, questions: str = "How many?", models: str = "small") -> Path:
    """A bench folder with these items, and a journal per run."""
    arms = tuple(dict.fromkeys(one.arm for one in items)) or ("direct",)
    sets = tuple(dict.fromkeys(one.set for one in items)) or ("sums",)
    plan = BenchPlan(
        name="trial",
        sets=tuple(SetRequest(spec=f"{name}.jsonl", name=name) for name in sets),
        arms=tuple(Arm(name=name, recipe={"name": name, "strategy": "direct", "knobs": {"k": 3}}) for name in arms),
    )
    tasks = {name: list(dict.fromkeys(one.task for one in items if one.set == name)) for name in sets}
    data = {name: {"digest": "0123", "examples": len(found)} for name, found in tasks.items()}
    path.mkdir(parents=True, exist_ok=True)
    written = {"plan": plan.model_dump(mode="json", by_alias=True), "data": data, "versions": {"phronesis": "0.1.0"}}
    (path / "bench.json").write_text(json.dumps({"schema": "phronesis/bench/1", **written}))
    (path / "items.jsonl").write_text("".join(one.model_dump_json(exclude_defaults=True) + "\n" for one in items))
    for run in dict.fromkeys(one.run_id for one in items if one.run_id):
        events: list[dict[str, Any]] = [
            {"type": "run_started", "task": "", "key": "run", "schema": 1, "models": {"solver": models}, "seed": 3}
        ]
        for task in dict.fromkeys(one.task for one in items if one.run_id == run):
            asked = {"messages": [{"role": "user", "content": f"{questions} {task}"}], "id": task}
            events.append({"type": "task_started", "task": task, "key": "task", "asked": asked})
        (path / "runs" / run).mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(event, separators=(",", ":")) for event in events)
        (path / "runs" / run / "journal.jsonl").write_text("".join(line + "\n" for line in lines))
    return path


def usual_items(count: int = 12) -> list[Item]:
    """Two arms: ``direct`` has the even questions right, ``voted`` all but every third."""
    rights = {"direct": lambda index: index % 2 == 0, "voted": lambda index: index % 3 > 0}
    return [item(arm, f"q{index}", right=right(index)) for arm, right in rights.items() for index in range(count)]


class Page(HTMLParser):
    """Checks that elements are closed in order, and gathers what is referred to."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [str(value) for name, value in attrs if name in ("href", "src", "action", "srcset")]
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> in {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_of(folder: Path, **how: Any) -> str:
    report = build_report(read_material(folder), **how)
    return html_page(report, page=folder / "report.html", csv="report.items.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "trial", usual_items())


class TestPage:
    def test_it_is_well_formed_and_needs_nothing_else(self, folder: Path) -> None:
        text = page_of(folder)
        page = Page(text)
        assert page.faults == [] and page.open == []
        assert len(page.ids) == len(set(page.ids))
        assert page.tags.count("svg") > 4 and page.tags.count("script") == 1
        assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
        allowed = re.compile(r"#|runs/run-(direct|voted)/journal\.jsonl$|report\.items\.csv$")
        assert page.references and all(allowed.match(one) for one in page.references)
        inside = {one[1:] for one in page.references if one.startswith("#")}
        assert inside and inside <= set(page.ids)

    def test_every_chart_says_what_it_shows(self, folder: Path) -> None:
        drawn = re.findall(r'<svg [^>]*class="chart".*?</svg>', page_of(folder), flags=re.DOTALL)
        assert len(drawn) > 4
        for one in drawn:
            assert 'role="img"' in one and re.search(r"<title id=.+?</title><desc id=.+?</desc>", one)

    def test_figures(self, folder: Path) -> None:
        """direct has 6 of 12 right, voted 8; 60 generated tokens each."""
        report = build_report(read_material(folder))
        (row, other) = _table(report, "Results")
        assert row[:2] == ["direct", "12"] and row[2].startswith("50.0 [") and row[8] == "120"
        assert other[2].startswith("66.7 [") and other[5:7] == ["60", "20"] and other[8] == "90"
        (pair,) = _table(report, "Against direct")
        assert pair[0] == "voted" and pair[2].startswith("+16.7 [") and pair[3:5] == ["4", "2"]

    def test_the_same_folder_gives_the_same_bytes(self, folder: Path) -> None:
        assert page_of(folder) == page_of(folder)

    def test_both_themes_name_the_same_colours(self, folder: Path) -> None:
        text = page_of(folder)
        assert "prefers-color-scheme:dark" in text and "[data-theme=dark]" in text

    def test_items_show_question_attempts_and_the_command(self, folder: Path) -> None:
        text = " ".join(Page(page_of(folder)).texts)
        assert (
            "How many? q3" in text
            and "PHRONESIS_RUNS_FOLDER=runs phronesis runs show run-direct --task q3 --full" in text
        )

    def test_what_was_run(self, folder: Path) -> None:
        text = " ".join(Page(page_of(folder)).texts)
        assert all(word in text for word in ("small", "0123", "sums.jsonl", "phronesis 0.1.0", "run-voted"))

    def test_a_page_tells_nothing_of_the_machine(self, folder: Path) -> None:
        plan = json.loads((folder / "bench.json").read_text())
        plan["plan"]["sets"][0]["spec"] = "/home/someone/data/sums/dev.jsonl"
        (folder / "bench.json").write_text(json.dumps(plan))
        text = page_of(folder)
        assert "sums/dev.jsonl" in text and "someone" not in text and str(folder) not in text


def _table(report: Report, title: str) -> list[list[str]]:
    """The texts of the first table of the first section with this title."""
    (part,) = [part for section in report.sections for part in section.parts if part.title == title]
    return [[cell.text for cell in row] for row in part.blocks[0].rows]  # type: ignore[union-attr]  # a table comes first


class TestHostileText:
    @pytest.fixture
    def hostile(self, tmp_path: Path) -> Path:
        more = {"answer": HOSTILE, "gold": HOSTILE, "group": HOSTILE, "stop": HOSTILE}
        attempts = (AttemptGrade(id=HOSTILE, answer=HOSTILE, correct=False, status="ok", parents=(HOSTILE,)),)
        failure = Failure(where=HOSTILE, error=HOSTILE, message=HOSTILE)
        calls = (CallCost(role=HOSTILE, level=1, calls=1, completion_tokens=5, longest=5),)
        bad = [
            item(arm, f"{HOSTILE}{index}", failures=(failure,), attempts=attempts, calls=calls,
                 **{**more, "group": f"{index}{HOSTILE}"})
            for arm in ("direct", "voted")
            for index in range(3)
        ]  # fmt: skip
        return folder_of(tmp_path / "bad", bad, questions=HOSTILE, models=HOSTILE)

    def test_nothing_of_it_becomes_markup(self, hostile: Path) -> None:
        text = page_of(hostile)
        page = Page(text)
        assert page.faults == [] and page.open == [] and page.handlers == []
        assert page.tags.count("script") == 1 and "img" not in page.tags
        assert not set(text) & {NUL, "\x1b", BELL}
        assert any(visible("</script><script>alert(1)") in one for one in page.texts)

    def test_turned_writing_stays_in_its_cell(self, hostile: Path) -> None:
        text = page_of(hostile)
        charts = re.findall(r'<svg [^>]*class="chart".*?</svg>', text, flags=re.DOTALL)
        assert charts and not any(OVERRIDE in one for one in charts)
        kept = r"<bdi>[^<]*</bdi>|<code>[^<]*</code>|<option[^<]*</option>|\"[^\"]*\"|<dt>[^<]*</dt>"
        assert OVERRIDE in text and OVERRIDE not in re.sub(kept, "", text)

    def test_plots_are_xml_and_markdown_has_no_markup(self, hostile: Path, tmp_path: Path) -> None:
        report = build_report(read_material(hostile))
        made = write_report(report, html=tmp_path / "r.html", markdown_file=tmp_path / "r.md", plots=tmp_path / "plots")
        assert made.plots
        for path in made.plots:
            root = ElementTree.parse(path).getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        text = (tmp_path / "r.md").read_text(encoding="utf-8")
        assert "<script" not in text and "<img" not in text
        assert all(line.count("|") > 2 for line in text.splitlines() if line.startswith("|"))

    def test_a_spreadsheet_runs_no_formula(self, tmp_path: Path) -> None:
        found = folder_of(tmp_path / "t", [item("direct", "q1", answer="=1+1"), item("direct", "q2", answer="-36000")])
        write_report(build_report(read_material(found)), html=tmp_path / "r.html")
        with (tmp_path / "r.items.csv").open(encoding="utf-8") as file:
            assert [row["answer"] for row in csv.DictReader(file)] == ["'=1+1", "-36000"]


class TestCaveats:
    @staticmethod
    def notes(folder: Path) -> str:
        return "\n".join(build_report(read_material(folder)).caveats)

    def test_few_questions_and_a_single_repeat(self, folder: Path) -> None:
        assert "12 questions are few" in self.notes(folder) and "ran once" in self.notes(folder)

    def test_failed_and_ungraded_items(self, tmp_path: Path) -> None:
        bad = [
            item("direct", "q1", status="failed", right=False),
            item("direct", "q2", status="ungraded"),
            item("direct", "q3"),
        ]
        notes = self.notes(folder_of(tmp_path / "t", bad))
        assert "1 of 3 items failed" in notes and "1 of 3 items could not be graded" in notes

    def test_unequal_questions(self, tmp_path: Path) -> None:
        notes = self.notes(folder_of(tmp_path / "t", [*usual_items(4), item("voted", "more")]))
        assert "did not answer the same questions (direct 4, voted 5)" in notes and "unfinished, direct" in notes

    def test_clusters_widen_what_a_set_resolves(self) -> None:
        assert "clusters" not in resolution([item("direct", f"q{n}") for n in range(12)])
        assert "come in 3 clusters" in resolution([item("direct", f"q{n}", cluster=str(n % 3)) for n in range(12)])

    def test_lost_calls_stand_beside_the_arm(self, tmp_path: Path) -> None:
        lost = item("direct", "q", failures=(Failure(where="q", error="TimedOut", message="late"),))
        report = build_report(read_material(folder_of(tmp_path / "t", [lost])))
        assert "1 with lost calls" in _table(report, "Results")[0][-1]

    def test_replies_from_a_bank(self, tmp_path: Path) -> None:
        served = CallCost(role="solver", level=1, calls=1, completion_tokens=9, longest=9, served=True)
        assert "came from a bank" in self.notes(folder_of(tmp_path / "t", [item("direct", "q", calls=(served,))]))

    def test_a_run_whose_journal_is_gone(self, folder: Path) -> None:
        (folder / "runs" / "run-direct" / "journal.jsonl").unlink()
        (folder / "runs" / "run-voted" / "journal.jsonl").write_text("not JSON\n")
        assert "journals of 2 runs are gone or broken" in self.notes(folder)
        assert "No journal, so no text." in page_of(folder)


class TestOddFolders:
    def test_one_arm(self, tmp_path: Path) -> None:
        assert Page(page_of(folder_of(tmp_path / "t", [item("direct", "q1")]))).faults == []

    def test_nothing_graded_or_nothing_at_all(self, tmp_path: Path) -> None:
        ungraded = [item(arm, "q1", status="ungraded", attempts=()) for arm in ("direct", "voted")]
        for name, items in (("ungraded", ungraded), ("empty", [])):
            text = page_of(folder_of(tmp_path / name, items))
            assert Page(text).faults == [] and ">nan<" not in text.lower()
        assert "Nothing has been graded yet" in text

    def test_crashed_tasks_without_a_call_or_run(self, tmp_path: Path) -> None:
        bad = item(
            "direct", "q", status="failed", right=False, calls=(), attempts=(), answer=None, run_id="", seconds=0.0
        )
        assert Page(page_of(folder_of(tmp_path / "t", [bad]))).faults == []

    def test_more_items_than_a_page_takes(self, tmp_path: Path) -> None:
        many = [item(arm, f"q{index}", attempts=()) for arm in ("direct", "voted") for index in range(ROWS // 2 + 5)]
        found = folder_of(tmp_path / "t", many)
        made = write_report(build_report(read_material(found)), html=found / "r.html")
        text = made.html.read_text(encoding="utf-8")
        assert text.count("<tr data-arm") == ROWS and f"the first {ROWS:,} of {ROWS + 10:,} items" in text
        assert made.csv.read_text(encoding="utf-8").count("\n") == ROWS + 11

    def test_links_lead_from_wherever_the_page_lies(self, folder: Path, tmp_path: Path) -> None:
        made = write_report(build_report(read_material(folder)), html=tmp_path / "pages" / "my page.html")
        links = [one for one in Page(made.html.read_text(encoding="utf-8")).references if one.endswith("journal.jsonl")]
        assert links and all((made.html.parent / link).resolve().is_file() for link in links)

    @pytest.mark.parametrize(
        ("content", "told"),
        [(None, "no bench folder"), ("{", "not JSON"), ('{"schema": "other"}', "schema 'other'"),
         ('{"schema": "phronesis/bench/1"}', "no bench's plan"),
         ('{"schema": "phronesis/bench/1", "plan": {"arms": 3}}', "no bench's plan")],
    )  # fmt: skip
    def test_a_folder_that_is_no_benchs(self, tmp_path: Path, content: str | None, told: str) -> None:
        if content is not None:
            (tmp_path / "bench.json").write_text(content)
        with pytest.raises(ConfigurationError, match=told):
            read_material(tmp_path)

    def test_an_item_changed_by_hand(self, folder: Path) -> None:
        with (folder / "items.jsonl").open("a") as file:
            file.write('{"arm": 3}\n')
        with pytest.raises(ConfigurationError, match=r"items\.jsonl:25 is no item"):
            read_material(folder)


class TestCommand:
    @staticmethod
    def run(*words: object) -> Any:
        return CliRunner().invoke(app, ["bench", "report", *map(str, words)])

    def test_it_writes_what_is_asked_for(self, folder: Path, tmp_path: Path) -> None:
        made = self.run(folder, "--markdown", tmp_path / "r.md", "--plots", tmp_path / "plots", "--json")
        told = json.loads(made.stdout)
        assert made.exit_code == 0 and told["html"] == str(folder / "report.html")
        assert all(Path(told[name]).is_file() for name in ("html", "csv", "markdown")) and len(told["plots"]) > 4
        text = (tmp_path / "r.md").read_text(encoding="utf-8")
        assert "| direct | 12 | 50.0 [" in text and "](plots/set0-accuracy.svg)" in text
        links = re.findall(r"\]\((plots/[^)]+)\)", text)
        assert len(links) == len(told["plots"]) and all((tmp_path / link).is_file() for link in links)

    def test_prices_make_costs_money(self, folder: Path, tmp_path: Path) -> None:
        """30 prompt and 60 generated tokens at 1 and 2 a million: 0.00015 a question, half of them right."""
        path = tmp_path / "prices.toml"
        path.write_text('schema = "phronesis/prices/1"\ncurrency = "EUR"\n[models.small]\nprompt = 1\ncompletion = 2\n')
        assert self.run(folder, "--prices", path, "--markdown", tmp_path / "r.md").exit_code == 0
        text = (tmp_path / "r.md").read_text(encoding="utf-8")
        assert "EUR per pass" in text and "| 0.000300 |" in text

    def test_a_price_file_without_the_model(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "prices.toml"
        path.write_text('schema = "phronesis/prices/1"\n[models.other]\nprompt = 1\ncompletion = 2\n')
        error = self.run(folder, "--prices", path).exception
        assert isinstance(error, ConfigurationError) and "'small'" in str(error) and "mend:" in str(error)
        assert not (folder / "report.html").exists()

    def test_an_unknown_baseline_names_the_arms(self, folder: Path) -> None:
        error = self.run(folder, "--baseline", "none").exception
        assert isinstance(error, ConfigurationError) and "'none'" in str(error) and "direct, voted" in str(error)

    def test_a_place_that_cannot_be_written(self, folder: Path) -> None:
        error = self.run(folder, "--out", folder / "bench.json" / "r.html").exception
        assert isinstance(error, ConfigurationError) and "cannot write" in str(error)
