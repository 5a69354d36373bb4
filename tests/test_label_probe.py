"""The label probe flags what changes the class, and not what is merely strange to a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import plotly.io
import pytest
import torch
from small_augmentations import blended, lighter, offered, slid, upside_down

import lab
from lab.__main__ import main
from lab.augmentation_plots import label_keeping
from lab.augmentations import augmentations, augmented
from lab.catalogue import Knob, RecipeError, knob_of
from lab.data import datasets
from lab.data.splits import Dataset, divide
from lab.diagnostics import LabelProbe, label_probe
from lab.diagnostics.label_probe import KEPT, paired_interval, typical
from lab.diagnostics.strengths import FALLING, choices_at, places, strength_of
from lab.recipe import Recipe

CLOTHES = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts them


@pytest.fixture(scope="module", autouse=True)
def _own_options():
    with offered(lighter, slid, blended, upside_down):
        yield


@pytest.fixture(scope="module")
def digits():
    return lab.train(Recipe(), progress=False, device="cpu")


@pytest.fixture(scope="module")
def probe(digits):
    return label_probe(digits, device="cpu")


def rows(*, across: bool) -> Dataset:
    """Six classes: which row (or, across, which column) of a noisy image is bright."""
    images = torch.randint(0, 90, (600, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(600) % 6
    images[torch.arange(600), 0, labels] = 255
    return divide(images.mT.contiguous() if across else images, labels, tuple("abcdef"))


@pytest.fixture(params=[False, True], ids=["rows", "columns"])
def striped(request):
    """A network trained on images whose class a flip keeps (rows), or does not (columns)."""

    def stripes() -> Dataset:
        """Bright stripes. Source: this test."""
        return rows(across=request.param)

    datasets.add(stripes)
    yield lab.train(Recipe(data="stripes", epochs=5), progress=False, device="cpu"), request.param
    datasets.functions.pop("stripes")
    datasets._choices.pop("stripes")


def flagged(probe: LabelProbe) -> set[str]:
    return {each.operation for each in probe.flagged}


# -- the rule ---------------------------------------------------------------------------------------------------


def test_flips_change_digits(probe):
    (flip,) = probe.of("flip")
    assert flip.changes_the_class
    assert (flip.setting, flip.strength) == ("", 1.0)
    assert flip.difference < -0.3
    assert "0" not in flip.hit
    assert {"3", "5", "7"} <= set(flip.hit)


@pytest.mark.skipif(not CLOTHES.is_dir(), reason="Fashion-MNIST is not installed")
def test_flips_do_not_change_clothes():
    changes = {"data": "fashion_mnist", "modify": [{"name": "subset", "per_class": 300}], "epochs": 4}
    run = lab.train(Recipe(optimizer="adam").changed(**changes), progress=False, device="cpu")
    found = label_probe(run, operations=["flip", "upside_down"], device="cpu")
    assert flagged(found) == {"upside_down"}
    (flip,) = found.of("flip")
    assert "Sneaker" in flip.hit  # all of which point to the left: strange, but sneakers
    assert "costs" in str(found)


def test_a_flip_is_flagged_where_it_changes_the_class_and_not_where_it_keeps_it(striped):
    run, across = striped
    found = label_probe(run, operations=["flip", "upside_down"], device="cpu")
    assert flagged(found) == ({"flip"} if across else {"upside_down"})


def test_nothing_done_is_nothing_lost(probe):
    still = [each for each in probe.probed if each.setting and each.strength == 0 and each.operation not in FALLING]
    assert len(still) >= 15
    assert all((each.difference, each.kept, each.hit) == (0, 1, ()) for each in still)
    assert all(each.low < 0 < each.high for each in still)


def test_a_little_is_kept_and_much_is_not(probe):
    kept = [each.kept for each in probe.of("lighter")]
    assert kept == sorted(kept, reverse=True)
    assert [each.changes_the_class for each in probe.of("slid")] == [False] * 5
    assert probe.of("crop")[-1].changes_the_class


def test_what_mixes_labels_is_left_out_and_named(probe):
    assert {"blended", "mixup", "cutmix", "generated"} <= set(probe.left_out)
    assert not probe.of("blended")
    assert "Left out, as they mix or make images: " in str(probe)


# -- the numbers ------------------------------------------------------------------------------------------------


def test_the_accuracy_as_they_are_is_that_of_the_run(probe, digits):
    assert probe.accuracy == pytest.approx(lab.predictions(digits, device="cpu").accuracy)
    assert probe.images == len(lab.predictions(digits, device="cpu").labels)


def test_the_certain_flip_is_the_network_on_mirrored_images(probe, digits):
    found = lab.predictions(digits, device="cpu")
    mirrored = found.split.images.flip(-1)
    right = found.session.answer(found.session.other_weights(), mirrored).argmax(1) == found.labels
    assert probe.of("flip")[0].accuracy == pytest.approx(float(right.double().mean()))


def test_equal_seeds_give_equal_numbers_and_draws_do_not_move_with_the_strength(digits):
    one, again, other = (label_probe(digits, operations=["crop"], seed=seed, device="cpu") for seed in (1, 1, 2))
    assert one == again != other
    before = torch.get_rng_state()
    label_probe(digits, operations=["crop"], device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_paired_interval_covers_as_often_as_it_says():
    rng, truth, covered = np.random.default_rng(0), 0.05 - 0.2, 0
    for _ in range(2000):
        kind = rng.choice(4, size=150, p=[0.6, 0.2, 0.05, 0.15])  # right both times, only before, only after, never
        low, high = paired_interval((kind <= 1), (kind == 0) | (kind == 2), 0.95)
        covered += low < truth < high
    assert covered / 2000 == pytest.approx(0.95, abs=5 * (0.95 * 0.05 / 2000) ** 0.5 + 0.01)


def test_a_paired_interval_has_width_where_nothing_differs():
    same = np.array([True] * 30)
    low, high = paired_interval(same, same, 0.95)
    assert -0.1 < low < 0 < high < 0.1


def test_the_typical_class_decides_however_bad_single_ones_are():
    few_lost = {"a": (0, 50), "b": (49, 50), "c": (50, 50)}
    most_lost = {"a": (0, 50), "b": (2, 50), "c": (50, 50)}
    assert typical(few_lost, 0.95)[0] == 0.98
    assert typical(few_lost, 0.95)[1] > KEPT > typical(most_lost, 0.95)[1]
    assert typical({"a": (3, 5)}, 0.95)[1] > KEPT  # too few to say
    assert typical({}, 0.95) == (1, 1)


# -- strengths --------------------------------------------------------------------------------------------------


def test_the_strength_is_the_first_setting_with_a_usual_range():
    assert strength_of("lighter") == ("strength", Knob(0, 1))
    assert strength_of("crop")[0] == "padding"
    assert strength_of("flip") == ("", None)
    assert [choice.p for _, _, choice in choices_at("flip", 5)] == [1]


def test_places_cover_the_slider():
    assert places(Knob(0, 1), 5, whole=False) == [0, 0.25, 0.5, 0.75, 1]
    assert places(Knob(0, 2), 5, whole=True) == [0, 1, 2]
    assert places(Knob(0.01, 1, log=True), 3, whole=False) == [0.01, 0.1, 1]
    assert places(Knob(0, 8), 1, whole=True) == [8]
    assert places(Knob(1, 8), 3, whole=False, falling=True) == [8, 4.5, 1]
    assert places(Knob(1, 8), 1, whole=True, falling=True) == [1]


@pytest.mark.parametrize("name", sorted(FALLING | {"random_erasing", "rotation", "blur"}))
def test_the_last_strength_changes_most(name):
    images = torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    changes = []
    for _, _, choice in choices_at(name, 4):
        draws = torch.Generator().manual_seed(1)
        out, _ = augmented([choice], images, torch.zeros(200, dtype=torch.long), 2, draws)
        changes.append(float((out - images).abs().mean()))
    assert changes[0] == min(changes)
    assert changes[-1] == max(changes)


@pytest.mark.parametrize("name", augmentations)
def test_every_operation_of_the_catalogue_has_strengths(name):
    strengths = list(choices_at(name, 3))
    assert 1 <= len(strengths) <= 3
    setting = strength_of(name)[0]
    assert not setting or knob_of(augmentations[name].model_fields[setting])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"operations": ["flop"]}, "Unknown augmentation 'flop'.*Did you mean 'flip'"),
        ({"strengths": 0}, "strengths is 0, but must be at least 1"),
        ({"images": 1}, "images is 1, but must be at least 2"),
    ],
)
def test_what_cannot_be_probed_is_refused(digits, given, words):
    with pytest.raises((RecipeError, ValueError), match=words):
        label_probe(digits, device="cpu", **given)


# -- shown ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_has_a_mark_for_each_strength(probe, dark):
    figure = label_keeping(probe, dark=dark)
    kept, lost = figure.data
    assert len(kept.x) + len(lost.x) == len(probe.probed)
    assert sorted(lost.x) == sorted(100 * each.difference for each in probe.flagged)
    assert (kept.marker.symbol, lost.marker.symbol) == ("circle", "square")
    assert {"flip", "crop", "lighter", "slid", "upside down"} <= set(figure.layout.yaxis.ticktext)
    assert (
        figure.layout.template.layout.paper_bgcolor
        == plotly.io.templates["plotly_dark" if dark else "plotly_white"].layout.paper_bgcolor
    )
    first, *rest = figure.layout.title.subtitle.text.split("<br>")
    assert first.startswith(f"As one run sees {probe.images} validation images, {100 * probe.accuracy:.1f}% right")
    assert "bars: 95% together" in first
    assert "left out: " in " ".join([first, *rest])


def test_the_figure_of_nothing_says_so():
    assert "no operation" in label_keeping(LabelProbe(0.5, 10, 0.95, (), ())).layout.annotations[0].text


def test_the_command_prints_the_table_and_its_facts(tmp_path, capsys):
    recipe = Recipe(epochs=3)
    lab.train(recipe, folder=tmp_path / "run", progress=False, device="cpu")
    assert main(["probe", str(tmp_path / "run"), "flip", "crop", "--strengths", "2", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "flip" in text
    assert "CLASS NOT KEPT" in text
    assert text.count("may only be at a loss before images that it was not trained on.") == 1
    assert main(["probe", str(tmp_path / "run"), "flip", "--images", "50", "--device", "cpu", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["images"] == 50
    assert [each["operation"] for each in facts["probed"]] == ["flip"]
    assert isinstance(facts["probed"][0]["changes_the_class"], bool)


def test_the_command_refuses_what_is_not_there(tmp_path, capsys):
    assert main(["probe", str(tmp_path / "nowhere")]) == 2
    lab.train(Recipe(epochs=1), folder=tmp_path / "run", progress=False, device="cpu")
    capsys.readouterr()
    assert main(["probe", str(tmp_path / "run"), "flop"]) == 2
    assert "Unknown augmentation 'flop'" in capsys.readouterr().err
