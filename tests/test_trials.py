"""What is kept of a comparison's run: beside its accuracy, which test images it missed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from small_comparisons import ADAM, FEW, small, trial
from small_runs import TINY_CNN

import lab
from lab.compare import Comparison
from lab.trials import read_trials

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("model", [FEW.model, TINY_CNN], ids=["stacked", "in turn"])
def test_final_trials_keep_which_test_images_they_missed(model: Any) -> None:
    comparison = small({"sgd": FEW.changed(model=model), "adam": ADAM.changed(model=model)}, tune=False)
    kept = comparison.of("adam", "given")[1]
    alone = lab.train(comparison.arms["adam"].changed(seed=kept.seed), progress=False, device="cpu")
    answers = lab.predictions(alone, "test")
    assert kept.missed == tuple((answers.predicted != answers.labels).nonzero().flatten().tolist())
    assert kept.test_accuracy == pytest.approx(1 - len(kept.missed) / len(answers.labels))


def test_a_search_misses_nothing_because_it_does_not_look(two: Comparison) -> None:
    assert all((each.missed is None) == (each.phase == "search") for each in two.trials)


def test_of_many_test_images_those_missed_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.trials.MOST_LISTED", 10)
    comparison = small({"sgd": FEW, "adam": ADAM}, tune=False)
    assert {each.missed for each in comparison.trials} == {None}


def test_trials_come_back_from_a_file_also_those_written_before_any_were_kept(tmp_path: Path) -> None:
    new, old = trial("a", "tuned", 0, 0.9, missed=(1, 5)), trial("a", "tuned", 1, 0.9)
    before = {key: value for key, value in asdict(old).items() if key != "missed"}
    (tmp_path / "trials.jsonl").write_text("\n".join(map(json.dumps, (asdict(new), before))) + "\n")
    assert read_trials(tmp_path / "trials.jsonl") == [new, old]
