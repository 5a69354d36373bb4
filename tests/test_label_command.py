"""`lab labels`: a table with intervals, picture and numbers in a folder to go on from, words for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_choices import earlier_run
from small_runs import TINY_CNN

import lab
from lab.__main__ import main
from lab.label_command import difference
from lab.label_plans import LabelWishes, counts_in, label_plan
from lab.transfer import SourceError
from lab.verdicts import verdict

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = ["--counts", "1,2", "--transfers", "whole", "--seeds", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return earlier_run(tmp_path_factory.mktemp("earlier") / "run")


def recipe_of(earlier: Path) -> lab.Recipe:
    model, source = {**TINY_CNN, "norm": "batch"}, {"name": "run", "folder": str(earlier)}
    return lab.Recipe(model=model, source=source, epochs=2, batch_size=5)


@pytest.fixture
def file(earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    recipe_of(earlier).save("recipe.yaml")
    return "recipe.yaml"


def test_the_command_says_the_plan_then_tells_the_table_and_keeps_picture_and_numbers(file, earlier, capsys) -> None:
    assert main(["labels", file, *FEW, "--rates", "0"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(
        "scratch, whole on digits; labels of each class (training images): 1 (10), 2 (20).\n8 runs of "
    )
    assert "95% intervals over 2 paired seeds, corrected for 2 comparisons)" in " ".join(out.split())
    folder = Path("labels") / recipe_of(earlier).id
    numbers = json.loads((folder / "labels.json").read_text())
    assert [point["images"] for point in numbers["curve"]] == [10, 20]
    for point in numbers["curve"]:
        assert {name: len(scores) for name, scores in point["accuracies"].items()} == {"scratch": 2, "whole": 2}
        mean = 100 * sum(point["accuracies"]["whole"]) / 2
        assert f"whole     {mean:.1f} ±" in out
    page = (folder / "index.html").read_text()
    assert "accuracy, % of test images" in page
    assert "<script src=" not in page.replace('<script src="data:', "")  # nothing is fetched


def test_the_same_command_goes_on_and_each_rate_is_searched(file, capsys) -> None:
    command = ["labels", file, *FEW, "--rates", "3", "--folder", "kept", "--json", "--quiet"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (err, found["phase"]) == ("", "tuned")
    assert set(found["curve"][0]["cost"]) == {"search", "tuned"}  # none at the rates that searches begin at
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == found  # seconds too: nothing was trained again
    assert main([*command, "--counts", "1,2,5", "--rates", "4"]) == 2
    said = capsys.readouterr().err
    assert "holds another comparison (trials 3 there, 4 here)" in said
    assert said.endswith("--folder FOLDER.\n")
    assert not Path("kept", "5-per-class").exists()


def test_a_kept_number_of_labels_is_looked_at_before_a_new_one_is_trained(file, capsys) -> None:
    command = ["labels", file, "--transfers", "whole", "--seeds", "2", "--folder", "kept", "--quiet"]
    assert main([*command, "--rates", "3", "--counts", "2"]) == 0
    assert main([*command, "--rates", "0", "--counts", "1,2"]) == 2
    assert "holds another comparison" in capsys.readouterr().err
    assert not Path("kept", "1-per-class").exists()


def test_pretrained_weights_may_be_asked_for_by_the_initialisation(earlier, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = recipe_of(earlier).changed(init="pretrained", transfer="whole")
    plan = label_plan(recipe, LabelWishes(counts="1", seeds=2, rates=0), device="cpu").plan
    assert (plan.arms["scratch"].init.name, plan.arms["whole"].init.name) == ("he_normal", "pretrained")


def test_without_a_terminal_each_tenth_of_the_runs_has_a_line(file, capsys) -> None:
    assert main(["labels", file, *FEW, "--rates", "0"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if " of each class: run " in line]
    assert len(told) == 8
    assert told[-1].startswith("2 of each class: run 8 of about 8 (seed ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["source=nothing"], "lab: Transfers take weights from a source, but the recipe has none: set source, "),
        (["--counts", "1,none"], "lab: --counts is '1,none', but must be labels of each class, whole numbers from 1"),
        (["--counts", "0"], "lab: --counts is '0', but must be labels of each class, whole numbers from 1"),
        (["--counts", "5,5"], "lab: --counts is '5,5', but must be labels of each class"),
        (["--transfers", "scratch"], "lab: --transfers is 'scratch', but must name what scratch is compared with"),
        (["--transfers", "hole"], "lab: Unknown transfer 'hole'."),
        (["--seeds", "1"], "lab: seeds is 1, but must be a whole number at least 2 and at most 1000."),
        (["--rates", "2"], "lab: --rates is 2, but must be at least 3, or 0 for the recipe's rate alone."),
        (
            ["--folder", "."],
            "lab: . is not empty (it holds recipe.yaml), but a curve over labels needs a folder of its",
        ),
        (["--transfers", "features", "model.kernel=5"], "lab: Transfer features: Layer 0 would stay as it was drawn"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_trained(words, said, file, capsys, monkeypatch) -> None:
    monkeypatch.setattr("lab.label_plans.prices_of", lambda *_, **__: pytest.fail("something was measured"))
    assert main(["labels", file, *words]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_a_transfer_that_does_not_fit_is_left_out_with_a_word_unless_it_was_asked_for(earlier) -> None:
    recipe = recipe_of(earlier).changed(**{"model.kernel": 5})
    found = label_plan(recipe, LabelWishes(counts="1,2", rates=0), device="cpu")
    assert set(found.plan.arms) == set(lab.transfers) - {"features"}
    assert found.left_out[0].startswith("Left out: transfer features: Layer 0 would stay as it was drawn")
    assert found.sentence().startswith(f"{found.left_out[0]}\nscratch, ")
    with pytest.raises(SourceError, match=r"^Transfer features: Layer 0"):
        label_plan(recipe, LabelWishes(counts="1,2", transfers="features"), device="cpu")


def test_counts_are_read() -> None:
    assert counts_in(LabelWishes().counts) == (1, 2, 5, 10, 50, None)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (([0.5, 0.7, 0.6], [0.5, 0.5, 0.5]), "10.0 (-14.8 to 34.8)"),
        (([0.5, 0.5], [0.4, 0.4]), "10.0 at every seed"),
    ],
)
def test_a_difference_has_its_interval(scores, said) -> None:
    assert difference(verdict("whole", "scratch", *scores)) == said
