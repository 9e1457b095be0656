"""Starters agree on one plan, and no change of theirs is lost."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from histoscope.errors import CorruptDataError
from histoscope.ledger import agree, agreed, exclusive, plans


@pytest.mark.parametrize("has_links", [True, False])
def test_all_who_start_at_once_agree(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(exclusive.os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no links")))
    n = 12
    barrier = Barrier(n)

    def start(k):
        barrier.wait()
        for step in range(5):
            plan = agree(
                tmp_path, lambda plan, step=step: {**plan, f"{k}": step, "first": plan.get("first", k)}
            )
        return plan["first"]

    with ThreadPoolExecutor(n) as pool:
        assert len(set(pool.map(start, range(n)))) == 1
    plan = agreed(tmp_path)
    assert {f"{k}": 4 for k in range(n)} == {key: plan[key] for key in plan if key != "first"}
    assert len(list(tmp_path.iterdir())) <= 3  # old versions and drafts are taken away


def test_the_same_plan_makes_no_new_version(tmp_path):
    agree(tmp_path, lambda _: {"a": 1})
    agree(tmp_path, dict)
    assert [path.name for path in tmp_path.iterdir()] == ["000001.json"]


def test_a_change_that_is_refused_leaves_everything(tmp_path):
    agree(tmp_path, lambda _: {"a": 1})
    with pytest.raises(ZeroDivisionError):
        agree(tmp_path, lambda _: 1 / 0)
    assert agreed(tmp_path) == {"a": 1}


def test_a_late_starter_does_not_take_an_old_number(tmp_path):
    agree(tmp_path, lambda _: {"n": 1})

    def late(plan):
        if plan["n"] == 1:  # meanwhile others go on, and take the old versions away
            for n in (2, 3, 4):
                agree(tmp_path, lambda _, n=n: {"n": n})
        return {**plan, "late": True}

    assert agree(tmp_path, late) == agreed(tmp_path) == {"n": 4, "late": True}


def test_a_broken_plan_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "_PAUSE_S", 0.0)
    (tmp_path / "000003.json").write_text("{")
    with pytest.raises(CorruptDataError, match=r"000003\.json is not a plan"):
        agreed(tmp_path)
