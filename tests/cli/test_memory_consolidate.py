"""``phronesis memory consolidate`` as people and cron call it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from phronesis.cli.main import app
from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, ConfigurationError
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory
from phronesis.testing import FakeRequest, FakeServer

RUNNER = CliRunner()


def curator(request: FakeRequest, index: int) -> str:
    (entry,) = [json.loads(line) for line in request.user.splitlines() if line.startswith('{"')]
    return json.dumps({"cues": entry["cues"][1:], "implementation": entry["implementation"]})


@pytest.fixture
def filled(settings: Settings) -> str:
    """Three concepts to compress, two of one name, and one that only harms."""
    with Memory.open("s", settings=settings) as memory:
        for subject in ("trains overtaking", "dice thrown twice", "heirs sharing"):
            cues = (f"{subject} appear", f"{subject} appear there")
            (id,) = memory.add([Concept(situation=f"one sees {subject}", suggestion="look", cues=cues)], origin="run")
            for use in range(2):
                memory.record_use([id], accepted=True, operation=f"{id} {use}")
        memory.add([Concept(name="n", kind="routine", suggestion=text) for text in ("turn", "flip")], origin="run")
        (bad,) = memory.add([Concept(situation="always", suggestion="guess \x1b[31m wildly")], origin="run")
        for use in range(6):
            memory.record_use([bad], accepted=False, operation=f"bad {use}")
    return "s"


def call(*arguments: str, code: int = 0) -> str:
    found = RUNNER.invoke(app, ["memory", "consolidate", *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == code, found.output
    return found.stdout


def test_a_dry_run_shows_the_plan_and_its_price(filled: str) -> None:
    told = json.loads(call("--session", filled, "--dry-run", "--json"))
    assert (told["status"], told["calls"], len(told["steps"])) == ("planned", [3, 6], 5)
    assert "5 step(s) planned; they take 3 to 6 calls" in call("--session", filled, "--dry-run")
    assert "2 step(s) planned; they take 0 to 0 calls" in call("--session", filled, "--dry-run", "--no-model")
    assert json.loads(call("--session", filled, "--dry-run", "--only", "retire", "--json"))["calls"] == [0, 0]


def test_without_a_model_names_and_dead_wood_are_done(filled: str) -> None:
    shown = call("--session", filled, "--no-model")
    assert "retire    done" in shown and "merge     done" in shown and "2 done; 0 calls" in shown
    assert "- c5  n: flip" in shown and "+ c4  n: turn" in shown
    assert "memory restore before-" in shown
    assert "\x1b" not in shown
    assert "nothing to consolidate" in call("--session", filled, "--no-model")


def test_a_budget_a_sitting_and_the_rest(filled: str) -> None:
    with FakeServer(curator) as server:
        where = ("--session", filled, "--set", f"models.curator.base_url={server.url}")
        first = json.loads(call(*where, "--budget", "calls=2", "--json"))
        assert (first["status"], first["stopped"]) == ("open", "budget:calls")
        shown = call(*where)
        assert "5 done; 1 calls" in shown and server.calls == 3
        assert "    - c1  cue: trains overtaking appear\n" in shown
    with_cues = [item for item in json.loads(RUNNER.invoke(app, ["memory", "list", "--session", "s", "--json"]).stdout)]
    assert all(len(item["concept"]["cues"]) < 2 for item in with_cues)


def test_an_open_job_is_given_up(filled: str) -> None:
    assert json.loads(call("--session", filled, "--abandon", "--json")) == {"session": "s", "abandoned": None}
    with FakeServer(curator) as server:
        call("--session", filled, "--set", f"models.curator.base_url={server.url}", "--budget", "calls=1")
    assert "is given up" in call("--session", filled, "--abandon")
    assert "no open job" in call("--session", filled, "--abandon")


def test_models_come_from_a_recipe_too(filled: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with FakeServer(curator) as server:
        recipe = tmp_path_factory.mktemp("r") / "mine.toml"
        recipe.write_text(
            'schema = "phronesis/recipe/1"\nname = "mine"\nstrategy = "direct"\n'
            f'[models.curator]\nbase_url = "{server.url}"\nsampling = {{ max_tokens = 333 }}\n'
        )
        call("--session", filled, "--recipe", str(recipe))
        assert server.calls == 3 and {asked.body["max_tokens"] for asked in server.seen} == {333}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--only", "tidy"), "'tidy'"),
        (("--set", "knobs.merge_abov=0.9"), "merge_abov"),
        (("--set", "knobs.merge_above=2"), "2"),
        (("--set", "knobs=2"), "2"),
        (("--set", "models.solver.model=x"), "'solver'"),
        (("--set", "models=x"), "'models'"),
        (("--set", "models.curator=x"), "curator"),
        (("--set", "merge_above=0.9"), "'merge_above'"),
        (("--budget", "cals=2"), "cals"),
        (("--budget", "depth=2"), "depth = 2"),
        (("--recipe", "nobody"), "'nobody'"),
    ],
)
def test_what_is_wrong_is_named(filled: str, arguments: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call("--session", filled, *arguments)
    assert named in str(caught.value)


def test_an_unknown_session_is_refused() -> None:
    with pytest.raises(ConceptStoreError, match="'nobody'"):
        call("--session", "nobody")
