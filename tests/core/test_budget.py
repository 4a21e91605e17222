"""Accounts: the cap is exact whatever the arrival order, depth is the critical path, a join gives back the rest."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from phronesis.core.budget import Account, Branch, Budget
from phronesis.core.chat import Usage
from phronesis.core.errors import BudgetExhausted


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def allowed(account: Account, calls: int) -> bool:
    try:
        account.reserve(calls)
    except BudgetExhausted:
        return False
    return True


def test_sub_accounts_share_the_cap_in_the_order_given() -> None:
    account = Account(Budget(calls=10))
    made = account.split({"a": 4, "b": 4, "c": 4, "d": 4})
    assert {name: child.cap for name, child in made.items()} == {"a": 4, "b": 4, "c": 2, "d": 0}
    assert account.remaining == 0
    assert not allowed(account, 1)
    assert account.child("a") is made["a"]


@pytest.mark.parametrize("cap", [0, 1, 3, 5, 6, 9])
def test_what_each_branch_gets_does_not_depend_on_who_asks_first(cap: int) -> None:
    outcomes = set()
    for order in itertools.permutations("abc"):
        account = Account(Budget(calls=cap))
        made = account.split(dict.fromkeys("abc", 2))
        got = {name: sum(allowed(made[name], 1) for _ in range(3)) for name in order}
        account.join("abc")
        assert account.spent_calls == min(cap, 6)
        outcomes.add(tuple(sorted(got.items())))
    assert len(outcomes) == 1


def test_a_branch_cannot_spend_more_than_its_own_cap_even_when_the_task_has_more() -> None:
    account = Account(Budget(calls=100))
    child = account.split({"a": 2})["a"]
    child.reserve(2)
    with pytest.raises(BudgetExhausted) as caught:
        child.reserve(1)
    assert caught.value.details == {"limit": "calls"}
    assert child.spent_calls == 2


def test_a_refused_reservation_books_nothing() -> None:
    account = Account(Budget(calls=3, tokens=1000))
    account.reserve(2, prompt_tokens=5, max_tokens=10)
    before = (account.spent_calls, account.depth, account.remaining)
    assert not allowed(account, 2)
    assert (account.spent_calls, account.depth, account.remaining) == before
    assert account.denied == "calls"


def test_join_gives_back_what_was_not_spent() -> None:
    account = Account(Budget(calls=10))
    made = account.split({"a": 5, "b": 5})
    made["a"].reserve(1)
    account.join(["a"])
    assert (account.remaining, account.spent_calls) == (4, 1)
    assert account.has_child("b") and not account.has_child("a")
    account.join(["b"])
    assert (account.remaining, account.spent_calls) == (9, 1)


def test_depth_is_the_critical_path() -> None:
    account = Account()
    account.reserve(8)
    made = account.split({"a": 9, "b": 9})
    for _ in range(3):
        made["a"].reserve(1)
    inner = made["b"].split({"x": 3, "y": 3})
    inner["x"].reserve(1)
    inner["y"].reserve(1)
    inner["y"].reserve(1)
    made["b"].join(["x", "y"])
    made["b"].reserve(1)
    assert (made["a"].depth, made["b"].depth) == (3, 3)
    account.join(["a", "b"])
    assert account.depth == 1 + 3
    assert account.spent_calls == 8 + 3 + 4


def test_a_limit_on_depth_holds_inside_branches() -> None:
    account = Account(Budget(depth=3))
    account.reserve(4)
    child = account.split({"a": 9})["a"].split({"b": 9})["b"]
    child.reserve(1)
    child.reserve(1)
    with pytest.raises(BudgetExhausted) as caught:
        child.reserve(1)
    assert caught.value.details["limit"] == "depth"
    assert "3 depth" in str(caught.value) and "--budget depth=" in str(caught.value)


def test_close_joins_what_a_stopped_run_left_open() -> None:
    account = Account(Budget(calls=20))
    account.reserve(1)
    outer = account.split({"a": 6, "b": 6})
    inner = outer["a"].split({"x": 3})
    inner["x"].reserve(3)
    outer["b"].reserve(1)
    account.close()
    assert (account.spent_calls, account.depth, account.remaining) == (5, 2, 15)
    account.close()
    assert account.spent_calls == 5


def test_without_a_limit_branches_still_have_their_own() -> None:
    account = Account()
    child = account.split({"a": 2})["a"]
    assert account.remaining is None and child.remaining == 2
    assert not allowed(child, 3)
    account.reserve(1000)


def test_grant_says_how_many_and_remembers_that_it_was_fewer() -> None:
    account = Account(Budget(calls=3))
    assert account.grant(3) == 3 and account.denied is None
    account.reserve(2)
    assert account.grant(4) == 1 and account.denied == "calls"
    assert Account().grant(7) == 7


def test_seconds_count_earlier_sessions() -> None:
    clock = Clock()
    account = Account(Budget(seconds=10), clock=clock, seconds_before=6)
    assert account.seconds_left == pytest.approx(4)
    account.reserve(1)
    clock.now += 4
    with pytest.raises(BudgetExhausted) as caught:
        account.split({"a": 1})["a"].reserve(1)
    assert caught.value.details["limit"] == "seconds"


def test_tokens_are_held_settled_and_stopped() -> None:
    account = Account(Budget(tokens=100))
    held = account.reserve(2, prompt_tokens=20, max_tokens=20)
    assert held == 20 + 2 * 10
    account.book("solver", Usage(calls=2, prompt_tokens=20, completion_tokens=10))
    account.release(held)
    assert account.usage.tokens == 30
    held = account.reserve(4, prompt_tokens=20, max_tokens=50)
    assert held == 20 + 4 * 5, "the running mean of replies stands in for the cap"
    with pytest.raises(BudgetExhausted) as caught:
        account.reserve(1, prompt_tokens=40, max_tokens=5)
    assert caught.value.details["limit"] == "tokens"
    account.release(held)
    account.reserve(1, prompt_tokens=40, max_tokens=5)


def test_the_whole_tree_has_one_account_of_usage() -> None:
    account = Account()
    child = account.split({"a": 5})["a"]
    child.book("solver", Usage(calls=1, completion_tokens=3))
    child.split({"b": 2})["b"].book("judge", Usage(calls=1, prompt_tokens=2))
    child.book("solver", Usage(failed_calls=1))
    assert account.usage == Usage(calls=2, failed_calls=1, completion_tokens=3, prompt_tokens=2)
    assert account.by_role["solver"] == Usage(calls=1, failed_calls=1, completion_tokens=3)


def test_a_readmitted_call_counts_and_holds_nothing() -> None:
    account = Account(Budget(calls=2, seconds=0))
    assert account.readmit(2) == 0
    assert (account.spent_calls, account.depth, account.remaining) == (2, 1, 0)


@pytest.mark.parametrize("wrong", [{"calls": -1}, {"seconds": -0.1}, {"cals": 3}, {"tokens": "many"}])
def test_a_wrong_budget_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Budget(**wrong)


def test_branches_name_their_path() -> None:
    root = Branch("", Account())
    child = Account()
    assert root.at("a").path == "a"
    assert root.at("a").at("b").path == "a/b"
    assert root.at("a").account is root.account and root.at("a", child).account is child


@dataclass
class Model:
    """What an account ought to say, kept by the simplest means."""

    account: Account
    own: int = 0
    """Calls reserved here or joined into here."""
    depth: int = 0
    open: dict[str, Model] = field(default_factory=dict)

    def everything(self) -> int:
        return self.own + sum(child.everything() for child in self.open.values())

    def nodes(self) -> list[Model]:
        return [self, *(node for child in self.open.values() for node in child.nodes())]

    def take(self, names: list[str]) -> None:
        closed = [self.open.pop(name) for name in names]
        self.own += sum(child.own for child in closed)
        self.depth += max((child.depth for child in closed), default=0)

    def shut(self) -> None:
        for child in self.open.values():
            child.shut()
        self.take(list(self.open))


@settings(max_examples=150, deadline=None)
@given(cap=st.none() | st.integers(0, 25), seed=st.integers(0, 2**32))
def test_random_trees_never_exceed_the_cap(cap: int | None, seed: int) -> None:
    rng = random.Random(seed)
    root = Model(Account(Budget(calls=cap)))
    for number in range(60):
        node = rng.choice(root.nodes())
        account, action = node.account, rng.random()
        if action < 0.55:
            calls = rng.randint(1, 4)
            free = account.remaining
            went = allowed(account, calls)
            assert went == (free is None or calls <= free), "refused although there was room, or the other way round"
            if went:
                node.own += calls
                node.depth += 1
        elif action < 0.8:
            stages = {f"{number}.{index}": rng.randint(0, 5) for index in range(rng.randint(1, 3))}
            node.open |= {name: Model(child) for name, child in account.split(stages).items()}
        else:
            leaves = [name for name, child in node.open.items() if not child.open]
            names = rng.sample(leaves, rng.randint(0, len(leaves)))
            account.join(names)
            node.take(names)
        for item in root.nodes():
            assert item.account.remaining is None or item.account.remaining >= 0
            assert item.account.spent_calls == item.own and item.account.depth == item.depth
        assert cap is None or root.everything() <= cap
    root.account.close()
    root.shut()
    assert (root.account.spent_calls, root.account.depth) == (root.own, root.depth)
    assert cap is None or root.account.remaining == cap - root.own


def test_a_paused_clock_stands_still() -> None:
    now = [10.0]
    account = Account(Budget(seconds=5), clock=lambda: now[0], seconds_before=1.0)
    now[0] = 12.0
    account.pause()
    now[0] = 100.0
    assert account.seconds == 3.0 and account.seconds_left == 2.0
    account.go_on()
    account.go_on()
    now[0] = 101.0
    assert account.seconds == 4.0
