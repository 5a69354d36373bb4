"""Sweeps: what they plan, what they skip and try again, and what their page and notebooks say."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from unittest.mock import Mock

import nbformat
import numpy as np
import pytest
from small_sweeps import BRITTLE, FEW, TINY, Here, sweep_of, swept, written

import lab
from lab.__main__ import main
from lab.catalogue import RecipeError
from lab.own_options import add_options
from lab.recipe import Recipe, flat
from lab.store import RunError, contents
from lab.sweeps import Outcome, Sweep, Sweeping, command, completed, processes
from lab.sweeps.cluster import Cluster
from lab.sweeps.command import engine_of, page, time_words
from lab.sweeps.costing import cost_of
from lab.sweeps.figures import all_figures, bands, differs
from lab.sweeps.findings import caution, findings, luck, report
from lab.sweeps.outcomes import OUTCOMES
from lab.sweeps.points import Order, done
from lab.sweeps.processes import places_for
from lab.sweeps.sweeping import notebook_text
from lab.sweeps.wishes import Wishes

ROOT = Path(__file__).parents[1]
OVER = {"optimizer": ["sgd", "adam"], "optimizer.lr": {}, "model.width": {"low": 8, "high": 11}}


# -- planning ----------------------------------------------------------------------------------------------------------


def test_a_grid_has_every_value_with_every_other_seed_by_seed() -> None:
    points = sweep_of(TINY).points
    found = [(flat(p.recipe)["optimizer.lr"], flat(p.recipe)["model.width"], p.recipe.seed) for p in points]
    assert found == [(lr, width, seed) for seed in (0, 1) for lr in (0.1, 0.3) for width in (8, 16)]
    assert [point.combination for point in points] == [0, 1, 2, 3] * 2
    assert len({point.id for point in points}) == 8
    assert [point.id for point in points] == [point.id for point in sweep_of(TINY).points]


def test_a_list_names_its_points_and_nothing_at_all_is_the_base() -> None:
    listed = sweep_of({"list": [{"optimizer": "adam"}, {}], "seeds": [3, 7]}).points
    assert [(point.recipe.optimizer.name, point.recipe.seed) for point in listed] == [
        ("adam", 3), ("sgd", 3), ("adam", 7), ("sgd", 7),
    ]  # fmt: skip
    assert [point.recipe for point in sweep_of({"base": {"seed": 4}, "seeds": 2}).points] == [
        Recipe(seed=4),
        Recipe(seed=5),
    ]


def test_equal_recipes_are_one_point_and_that_is_counted() -> None:
    sweep = sweep_of({"list": [{"epochs": 3}, {"epochs": "3"}, {"epochs": 4}]})
    assert ([point.combination for point in sweep.points], sweep.repeated) == ([0, 2], 1)


def test_draws_are_those_of_their_seed_and_more_of_them_begin_with_the_same() -> None:
    few, more, other = (
        sweep_of({"random": {"draws": draws, "seed": seed, "over": OVER}}).changes
        for draws, seed in ((20, 0), (60, 0), (20, 1))
    )
    assert few == more[:20]
    assert few != other
    assert {change["optimizer"] for change in more} == {"sgd", "adam"}
    assert {change["model.width"] for change in more} == {8, 9, 10, 11}


def test_what_a_key_draws_does_not_depend_on_the_other_keys() -> None:
    alone = sweep_of({"random": {"draws": 20, "over": {"optimizer.lr": {}}}}).changes
    beside = sweep_of({"random": {"draws": 20, "over": {"batch_size": [8, 16], "optimizer.lr": {}}}}).changes
    assert [change["optimizer.lr"] for change in alone] == [change["optimizer.lr"] for change in beside]


@pytest.mark.parametrize(
    ("source", "middle"), [({}, 1e-2), ({"low": 1, "high": 3, "log": False}, 2), ({"low": 0.01, "high": 1}, 0.1)]
)
def test_draws_fill_a_range_evenly_in_its_logarithm_where_the_slider_has_one(source: dict, middle: float) -> None:
    changes = sweep_of({"random": {"draws": 400, "over": {"optimizer.lr": source}}}).changes
    rates = [change["optimizer.lr"] for change in changes]
    knob_low, knob_high = 1e-5, 10.0
    assert min(rates) >= source.get("low", knob_low)
    assert max(rates) <= source.get("high", knob_high)
    below = sum(rate < middle for rate in rates) / len(rates)
    assert abs(below - 0.5) < 4 * math.sqrt(0.25 / len(rates))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"grid": {"optimizer.lrr": [1]}}, "grid, point 1 of 1 (optimizer.lrr 1): Unknown setting 'lrr' of optimizer"),
        ({"list": [{}, {"epochs": "many"}]}, "list, point 2 of 2 (epochs many): epochs is 'many', but must be a whole"),
        ({"grid": {"optimizer.lr": 0.1}}, "grid: optimizer.lr is 0.1, but must be a list of values"),
        ({"grid": 3}, "grid is 3, but must be a mapping"),
        ({"gird": {}}, "Unknown sweep key 'gird'. Did you mean 'grid'?"),
        ({"epochs": 3}, "'epochs' is a key of recipes: write base.epochs"),
        ({"base": {"epoch": 3}}, "base: Unknown recipe key 'epoch'. Did you mean 'epochs'?"),
        ({"base": 3}, "base is 3, but must be a recipe's file or a mapping"),
        ({"seeds": 0}, "seeds is 0, but must be how many"),
        ({"seeds": True}, "seeds is True, but must be how many"),
        ({"grid": {"seed": [1]}}, "seed cannot be changed here"),
        ({"grid": {"epochs": [1]}, "list": [{}]}, "A sweep has grid and list, but one of"),
        ({"list": {"epochs": 1}}, "list is {'epochs': 1}, but must be a list of mappings"),
        ({"random": {"draws": 0, "over": {"epochs": [1]}}}, "random: draws is 0, but must be a whole number"),
        ({"random": {"draws": 2}}, "random: over has no key"),
        ({"random": {"over": {"epochs": 3}}}, "random: epochs is 3, but must be a list of choices"),
        ({"random": {"over": {"optimizer.lrr": {}}}}, "Unknown setting 'lrr' of optimizer sgd. Did you mean 'lr'?"),
        ({"random": {"over": {"optimizer": {}}}}, "random: optimizer is no number, so it has no range"),
        ({"random": {"over": {"optimizer.lr": {"low": 2, "high": 1}}}}, "low 2 and high 1, but low must be"),
        ({"random": {"over": {"warmup": {"low": 0, "high": 0.5, "log": True}}}}, "warmup begins at 0, but"),
        ({"seeds": 100_001}, "That would be 100,001 points"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place_before_any_work(spec: dict, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        sweep_of(spec)
    assert said in str(error.value)


def test_a_file_is_named_and_its_base_is_looked_for_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("epochs: 7\n")
    file = tmp_path / "sweep.yaml"
    file.write_text("base: base.yaml\ngrid: {batch_size: [8, 16]}\n")
    assert [point.recipe.epochs for point in Sweep.load(file).points] == [7, 7]
    assert [point.recipe.epochs for point in Sweep.load(file, {"base.epochs": 2, "seeds": 2}).points] == [2] * 4
    file.write_text("grid: {batch_sise: [8]}\n")
    with pytest.raises(RecipeError) as error:
        Sweep.load(file)
    assert str(error.value).startswith(f"{file}: grid, point 1 of 1 (batch_sise 8): ")
    with pytest.raises(RecipeError, match="Try: lab sweep"):
        Recipe.load(file)


def test_processes_share_the_gpus_by_their_fractions() -> None:
    def visible(*wishes: object) -> list[str | None]:
        return [place.get("CUDA_VISIBLE_DEVICES") for place in places_for(*wishes)]

    assert visible(3, [], 0) == [None] * 3
    assert visible(0, ["0", "2"], 0.5) == ["0", "2", "0", "2"]
    assert visible(3, ["0", "2"], 0.5) == ["0", "2", "0"]
    assert visible(9, ["7"], 0.1) == ["7"] * 9
    assert visible(0, ["7"], 0.7) == ["7"]
    assert all(place["OMP_NUM_THREADS"] == "1" for place in places_for(2, ["0"], 1))
    for wrong in ((1, [], 0.5), (1, ["0"], 1.5), (1, ["0"], -1)):
        with pytest.raises(RecipeError, match="gpus_per_run"):
            places_for(*wrong)


# -- work --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Sweeping:
    """A sweep that has come to its end."""
    return swept(tmp_path_factory.mktemp("sweep") / "tiny", TINY, Here())


def test_every_point_is_trained_once_with_the_numbers_it_has_alone(tiny: Sweeping) -> None:
    lines = [json.loads(line) for line in (tiny.folder.path / OUTCOMES).read_text().splitlines()]
    assert [line["id"] for line in lines] == [point.id for point in tiny.sweep.points]
    point = tiny.sweep.points[5]
    alone = lab.train(point.recipe, progress=False, device="cpu")
    assert tiny.outcomes[point.id].accuracies == tuple(epoch.validation_accuracy for epoch in alone.history.epochs)
    assert lab.open_run(tiny.folder.run(point.id)).history.loss == alone.history.loss


def test_what_has_ended_is_skipped_and_a_sweep_may_grow(tiny: Sweeping) -> None:
    engine = Here()
    swept(tiny.folder.path, TINY, engine)
    assert engine.seen == []
    grown = swept(tiny.folder.path, {**TINY, "grid": {**TINY["grid"], "optimizer.lr": [0.1, 0.2]}}, engine)
    assert len(engine.seen) == 4
    assert all(flat(lab.open_run(grown.folder.run(seen)).recipe)["optimizer.lr"] == 0.2 for seen in engine.seen)
    swept(tiny.folder.path, TINY, engine)
    assert len(engine.seen) == 4


def test_ctrl_c_loses_nothing_and_the_next_call_goes_on(tmp_path: Path, tiny: Sweeping) -> None:
    first, second = Here(last=3), Here()
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "sweep", TINY, first)
    done = swept(tmp_path / "sweep", TINY, second)
    assert sorted(first.seen + second.seen) == sorted(point.id for point in done.sweep.points)
    assert [done.outcomes[p.id].accuracies for p in done.sweep.points] == [
        tiny.outcomes[p.id].accuracies for p in done.sweep.points
    ]


def test_a_run_that_ended_unheard_is_opened_and_one_that_was_deleted_is_trained_anew(tmp_path: Path) -> None:
    sweeping = swept(tmp_path / "sweep", {"base": FEW}, Here())
    kept, (point,) = sweeping.folder.path / OUTCOMES, sweeping.sweep.points
    weights = sweeping.folder.run(point.id) / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    kept.write_text(kept.read_text()[:-30])  # cut off in the middle of its line
    engine = Here()
    assert swept(tmp_path / "sweep", {"base": FEW}, engine).outcomes[point.id].status == "finished"
    assert engine.seen == []
    assert weights.stat().st_mtime_ns == before
    for file in weights.parent.iterdir():
        file.unlink()
    weights.parent.rmdir()
    engine = Here()
    swept(tmp_path / "sweep", {"base": FEW}, engine)
    assert engine.seen == [point.id]


def test_what_broke_is_tried_again_and_its_error_kept(tmp_path: Path, own_options: None) -> None:
    file = written(tmp_path, "brittle.py", BRITTLE)
    add_options([file])
    spec = {"base": {**FEW, "activation": {"name": "brittle", "trace": str(tmp_path / "trace")}}}
    never = {**spec, "base": {**spec["base"], "activation": {"name": "brittle", "trace": str(tmp_path / "no" / "way")}}}
    once = swept(tmp_path / "once", spec, Here())
    (outcome,) = (once.outcomes[point.id] for point in once.sweep.points)
    assert (outcome.status, outcome.attempts) == ("finished", 2)
    assert outcome.errors == ("failed: OSError: <b>not yet</b>",)
    engine = Here()
    broken = swept(tmp_path / "never", never, engine, retries=3)
    (outcome,) = (broken.outcomes[point.id] for point in broken.sweep.points)
    assert (outcome.status, outcome.attempts, len(engine.seen)) == ("failed", 4, 4)
    assert outcome.detail.startswith("FileNotFoundError: ")
    assert len(Sweeping(broken.sweep, tmp_path / "never", plain=True).todo) == 1


def test_a_run_that_diverged_is_a_result_and_not_tried_again(tmp_path: Path) -> None:
    engine = Here()
    sweeping = swept(tmp_path / "sweep", {"base": FEW, "grid": {"optimizer.lr": [0.1, 1e30]}}, engine)
    statuses = [sweeping.outcomes[point.id].status for point in sweeping.sweep.points]
    assert (statuses, len(engine.seen)) == (["finished", "diverged"], 2)


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lab.sweeps.outcomes.write_atomically", full)
    with pytest.raises(RunError, match=r"No space left on device\. Make room, then go on with the same command"):
        swept(tmp_path / "sweep", {"base": FEW}, Here())


def test_a_process_stops_by_itself_when_the_sweep_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "lab-nursery-x"
    left.mkdir()
    monkeypatch.setenv(processes.DOOR, str(left / "door"))
    parents, sent = iter([7, 7, 1]), []
    monkeypatch.setattr(processes, "ASKED_SECONDS", 0)
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("os.kill", lambda process, signum: sent.append((process, signum)))
    processes.leave_after(7)
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert not list(parents)
    assert not left.exists()


@pytest.mark.parametrize(("letters", "shared"), [("x" * 60, True), ("\N{SNOWMAN}" * 60, False)])
def test_processes_share_a_nursery_where_the_bytes_of_its_path_are_few_enough(
    letters: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Mock()
    monkeypatch.setattr(processes, "Worker", worker)
    monkeypatch.setattr(processes, "end", lambda _: None)
    folder = Mock()
    folder.name = letters
    monkeypatch.setattr(processes, "TemporaryDirectory", lambda **_: folder)
    with processes.Processes([{}]):
        assert bool(worker.call_args.args[0][processes.DOOR]) is shared


def test_a_missing_data_set_is_said_before_any_work(tmp_path: Path) -> None:
    engine = Here()
    with pytest.raises(lab.DataError, match="There is no folder nowhere"):
        swept(tmp_path / "sweep", {"base": {"data": {"name": "folder", "path": "nowhere"}}}, engine)
    assert engine.seen == []


def test_folders_of_other_kinds_are_refused_and_a_sweep_is_no_run(tmp_path: Path, tiny: Sweeping) -> None:
    lab.train(Recipe(**FEW), folder=tmp_path / "run", progress=False)
    with pytest.raises(RunError, match="holds a run"):
        Sweeping(tiny.sweep, tmp_path / "run", plain=True)
    with pytest.raises(RunError, match="holds a sweep"):
        lab.train(Recipe(**FEW), folder=tiny.folder.path, progress=False)
    with pytest.raises(RunError, match=r"holds the run of another recipe \(here: epochs 2 -> 3\)"):
        completed(Recipe(**FEW).changed(epochs=3), tmp_path / "run")
    assert str(tiny.folder.path) not in set(lab.runs.table(tiny.folder.path.parent).folder)


def test_costs_add_up(one_thread: None) -> None:
    recipe = Recipe(modify=[{"name": "subset", "per_class": 10}], epochs=3, batch_size=32)
    session = lab.Training(recipe, device="cpu")
    found = cost_of([recipe, recipe.changed(seed=1, epochs=6)], "cpu")
    assert found.steps == 3 * session.steps
    assert found.flops == pytest.approx(3 * session.steps * session.flops_per_step)
    assert found.seconds > 0
    assert [time_words(seconds) for seconds in (3, 99, 150, 4800)] == ["3 s", "99 s", "2 min", "1 h 20 min"]


# -- what comes out ----------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Tags and words of a page, without scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.words, self.data, self._inside = [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = "data" if ("id", "data") in attrs else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data
        elif self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_says_what_came_out_and_loads_nothing(tiny: Sweeping) -> None:
    found = findings(tiny.sweep, tiny.outcomes)
    read = Reader(page(found, tiny.folder))
    assert "8 of 8 points finished." in read.text
    assert caution(found) in read.text
    assert "Nothing: every point that was trained has finished." in read.text
    best = found.combinations[0]
    assert (
        f"1 {100 * best.mean:.1f} {100 * min(best.accuracies):.1f} {100 * max(best.accuracies):.1f} 2 of 2" in read.text
    )
    assert sum(tag == "tr" for tag, _ in read.tags) == 5
    assert set(json.loads(read.data)) == {"curves", "best", "differs"}
    pictures = [attributes for tag, attributes in read.tags if tag == "img"]
    assert [picture["src"][:22] for picture in pictures] == ["data:image/png;base64,"] * 3
    assert all(picture["alt"] for picture in pictures)
    assert not [
        attributes for _, attributes in read.tags if str(attributes.get("src", "data:")).startswith(("http", "/"))
    ]


def made_up(spec: dict, scores: dict[int, list[float]], **others: Outcome) -> tuple:
    """Findings of outcomes that nobody trained: a list of accuracies for each combination, seed by seed."""
    sweep, left = sweep_of(spec), {place: list(found) for place, found in scores.items()}
    outcomes = {
        point.id: Outcome(point.id, "finished", accuracies=(0.1, left[point.combination].pop(0)), losses=(2.0, 1.0))
        for point in sweep.points
        if left.get(point.combination)
    }
    return sweep, outcomes, findings(sweep, outcomes)


def test_the_best_is_first_and_what_failed_at_a_seed_is_not_among_the_best() -> None:
    spec = {"grid": {"epochs": [1, 2, 3, 4]}, "seeds": 2}
    sweep, outcomes, _ = made_up(spec, {0: [0.5, 0.7], 1: [0.9, 0.8], 2: [0.99], 3: [0.6, 0.61]})
    bad = next(point for point in sweep.points if point.combination == 2 and point.recipe.seed == 1)
    outcomes[bad.id] = Outcome(bad.id, "diverged", "The loss is not finite at step 3.", losses=(None,))
    found = findings(sweep, outcomes)
    assert [each.recipe.epochs for each in found.combinations] == [2, 4, 1, 3]
    assert [(each.status, each.seed, each.detail) for each in found.failures] == [
        ("diverged", 1, "The loss is not finite at step 3.")
    ]
    assert found.keys == ("epochs",)
    assert "7 of 8 points finished, 1 diverged." in report(found)


def test_luck_is_the_expected_lead_of_the_best_of_equals() -> None:
    spec = {"grid": {"epochs": list(range(1, 41))}, "seeds": 4}
    draws = iter(np.random.default_rng(0).normal(0.5, 0.02, 160).tolist())
    _, _, found = made_up(spec, {place: [next(draws) for _ in range(4)] for place in range(40)})
    # Of 20 contenders: 0.02 / sqrt(4) times 1.867, the expected largest of 20 standard normal numbers (Harter 1961).
    assert luck(found) == pytest.approx(0.01 * 1.867, rel=0.15)
    assert f"about {100 * luck(found):.1f} points" in caution(found)
    _, _, single = made_up({"grid": {"epochs": [1, 2, 3]}}, {place: [0.5] for place in range(3)})
    assert luck(single) is None
    assert "With one seed" in caution(single)


@pytest.mark.parametrize(
    ("rates", "ticks"),
    [
        ([0.03, 0.3], ["0.03", "0.3"]),
        ([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"]),
        ([0.021, 0.1, 0.11, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ([0.0011, 0.1, 0.11, 1.0], ["0.001", "0.01", "0.1", "1"]),
        ([1e-9, 1e-8, 0.1], None),
        ([0.1, 0.5], None),
    ],
)
def test_values_that_span_a_factor_of_ten_lie_on_a_logarithmic_axis(rates: list[float], ticks: list[str]) -> None:
    scores = {place: [0.2 + place / 10] for place in range(len(rates))}
    _, _, found = made_up({"grid": {"optimizer.lr": rates}}, scores)
    axis = differs(found).layout.xaxis
    assert axis.type == ("log" if max(rates) > 5 * min(rates) else None)
    assert axis.ticktext == (tuple(ticks) if ticks else None)


def test_many_combinations_stay_readable() -> None:
    widths = list(range(8, 48))
    scores = {place: [0.2 + place / 100] for place in range(40)}
    sweep, outcomes, found = made_up({"grid": {"model.width": widths}}, scores)
    line = next(trace for trace in differs(found).data if trace.mode == "lines")
    means = [20 + fmean(range(5 * part, 5 * part + 5)) for part in range(8)]
    assert list(line.x) == [8 + 5 * part + 2 for part in range(8)]
    assert list(line.y) == pytest.approx(means)
    for point in sweep.points[:25]:
        outcomes[point.id] = Outcome(point.id, "stuck", "at chance", accuracies=(0.1, 0.1))
    found = findings(sweep, outcomes)
    assert report(found).count("stuck at chance") == 25
    assert report(found, 20).count("stuck at chance") == 20
    assert report(found, 20).endswith("and 5 more, which the page has")


def test_with_one_seed_nothing_is_said_of_several(tmp_path: Path) -> None:
    for seeds, there in ((1, False), (2, True)):
        scores = {place: [0.5] * seeds for place in range(3)}
        sweep, _, found = made_up({"grid": {"epochs": [1, 2, 3]}, "seeds": seeds}, scores)
        folder = Sweeping(sweep, tmp_path / str(seeds), plain=True).folder
        assert ("lowest" in Reader(page(found, folder)).text) is there
        assert ("bands" in str(bands(found).layout.title)) is there


NASTY = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a\"'b\n# c\r\n- d",
    "🦊 ${x} $title {{y}}",
    "../../etc",
]


def test_names_neither_break_nor_inject_anything(tmp_path: Path) -> None:
    listed = [{"data": {"name": "folder", "path": name}} for name in NASTY]
    spec = {"title": NASTY[0], "note": "\n".join(NASTY), "list": [*listed, {"epochs": 1}]}
    sweep, outcomes, _ = made_up(spec, {place: [0.5] for place in range(4)})
    last = sweep.points[4]
    outcomes[last.id] = Outcome(last.id, "failed", NASTY[0], errors=(NASTY[1],), attempts=2)
    sweeping = Sweeping(sweep, tmp_path / '<b>&"🦊', plain=True)
    sweeping.folder.start(sweep)
    assert sweeping.folder.sweep() == sweep
    found = findings(sweep, outcomes)
    text = page(found, sweeping.folder)
    read = Reader(text)
    assert [tag for tag, _ in read.tags].count("script") == 3
    assert not [attributes for _, attributes in read.tags if any(name.startswith("on") for name in attributes)]
    assert all(attributes["src"].startswith("data:") for tag, attributes in read.tags if tag == "img")
    assert " ".join(NASTY[0].split()) in read.text
    assert "🦊 ${x} $title {{y}}" in read.text
    json.loads(read.data)
    for line in report(found).splitlines():
        assert not line.startswith(("#", "- d"))
    for figure in all_figures(found).values():
        assert "<img" not in figure.to_json().replace("&lt;img", "")
    assert [path.name for path in (tmp_path / '<b>&"🦊').iterdir() if not path.name.startswith(".")]


# -- the notebook ------------------------------------------------------------------------------------------------------


def outputs(path: Path) -> list:
    return [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """`lab sweep` of two points: one was trained plainly before, the other is a notebook whose run diverges."""
    place = tmp_path_factory.mktemp("command")
    spec = {"base": FEW, "grid": {"optimizer.lr": [0.1, 1e30]}}
    swept(place / "out", {"base": FEW, "grid": {"optimizer.lr": [0.1]}}, Here())
    (place / "sweep.yaml").write_text(json.dumps(spec))
    words = ["sweep", str(place / "sweep.yaml"), "--folder", str(place / "out"), "--processes", "1", "--device", "cpu"]
    return main([*words, "--quiet", "--json"]), place / "out"


pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(papermill|nbclient|jupyter_client|zmq)"),
    pytest.mark.filterwarnings("ignore:.*:RuntimeWarning:(zmq|tornado)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # their sockets
]


def test_each_point_is_an_executed_notebook_and_the_summary_shows_figures_without_a_kernel(
    by_command: tuple[int, Path],
) -> None:
    code, folder = by_command
    assert code == 0
    outcomes = [json.loads(line) for line in (folder / OUTCOMES).read_text().splitlines()]
    assert sorted(outcome["status"] for outcome in outcomes) == ["diverged", "finished"]
    (bad,) = (each for each in outcomes if each["status"] == "diverged")
    for file in (folder / "summary.ipynb", folder / "reports" / f"{bad['id']}.ipynb"):
        assert file.stat().st_size < 500_000
        assert "widgets" not in nbformat.read(file, 4).metadata
        pictures = [o.data for o in outputs(file) if "application/vnd.plotly.v1+json" in o.get("data", {})]
        assert len(pictures) == (3 if file.name == "summary.ipynb" else 1)
        assert all(picture["image/png"] for picture in pictures)
    errors = [o for o in outputs(folder / "reports" / f"{bad['id']}.ipynb") if o.output_type == "error"]
    assert [error.ename for error in errors] == ["RuntimeError"]
    assert f'href="reports/{bad["id"]}.ipynb"' in (folder / "index.html").read_text()
    assert "1 of 2 points finished, 1 diverged." in "".join(
        o.get("text", "") for o in outputs(folder / "summary.ipynb")
    )


def test_a_sweep_that_has_ended_is_summarised_again_only_when_something_is_new(
    by_command: tuple[int, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = by_command
    words = ["sweep", str(folder.parent / "sweep.yaml"), "--folder", str(folder), "--device", "cpu", "--quiet"]
    page_of = Mock(return_value="")
    monkeypatch.setattr(command, "page", page_of)
    monkeypatch.setattr(command, "executed", lambda _, made, __: made.touch())
    assert main(words) == 0
    assert "1 of 2 points finished, 1 diverged." in capsys.readouterr().out
    assert not page_of.called
    with (folder / OUTCOMES).open("a") as file:
        file.write("\n")
    whole = (folder / command.PAGE).read_bytes()
    main(words)
    assert page_of.called
    (folder / command.PAGE).write_bytes(whole)
    (folder / OUTCOMES).write_text((folder / OUTCOMES).read_text()[:-1])
    os.utime(folder / command.SUMMARY, (0, 0))  # as if it was cut off between page and notebook
    page_of.reset_mock()
    main(words)
    assert page_of.called


def test_a_summary_that_failed_is_kept_and_made_again_and_the_page_is_there_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeping = swept(tmp_path / "out", {"base": FEW}, Here())
    names = command.PAGE, command.SUMMARY, command.FAILED_SUMMARY
    page, summary, failed = (tmp_path / "out" / name for name in names)

    def failing(_: Path, made: Path, __: object) -> None:
        made.write_text("An Exception was encountered")
        raise OSError("no room left")

    for _ in range(2):
        monkeypatch.setattr(command, "executed", failing)
        with pytest.raises(
            RunError, match=r"^The summary failed: OSError: no room left\. As far as it .* kept: (.*)\. T"
        ):
            command.summarised(sweeping, Wishes())
        assert page.exists()
        assert not summary.exists()
        assert failed.read_text() == "An Exception was encountered"
    monkeypatch.setattr(command, "executed", lambda _, made, __: made.write_text("whole"))
    command.summarised(sweeping, Wishes())
    assert summary.read_text() == "whole"
    assert contents(page.parent) == [page.name, OUTCOMES, "reports", "runs", summary.name, "sweep.json"]


def test_runs_that_had_ended_before_say_nothing_of_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    swept(tmp_path / "out", {"base": FEW, "grid": {"optimizer.lr": rates[:3]}}, Here())
    (tmp_path / "out" / OUTCOMES).unlink()
    spec = {"base": FEW, "grid": {"optimizer.lr": rates}}
    sweeping = Sweeping(sweep_of(spec), tmp_path / "out", plain=True, device="cpu")
    for _ in command.told(sweeping, Here(), quiet=False):
        pass
    places = [line.partition(": ")[0] for line in capsys.readouterr().err.splitlines()[1:]]
    assert places[:5] == ["1/6", "2/6", "3/6", "4/6", "5/6"]
    assert places[5] == f"6/6, about {time_words(0)} left"


def test_the_time_left_counts_no_start_of_processes_and_is_told_from_the_third_result_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeping = Sweeping(
        sweep_of({"base": FEW, "grid": {"optimizer.lr": [0.1, 0.2, 0.3, 0.4]}}), tmp_path / "out", plain=True
    )
    points = sweeping.sweep.points
    statuses = [(points[0], "lost", 0.0), *((point, "finished", 10.0) for point in points)]
    told = [(point, Outcome(point.id, status, seconds=seconds)) for point, status, seconds in statuses]
    clock = iter([100.0, 100.0, 110.0, 120.0, 130.0])  # what was asked before is not the points' own
    monkeypatch.setattr(command, "time", Mock(monotonic=lambda: next(clock)))
    monkeypatch.setattr(sweeping, "over", lambda _: iter(told))
    for _ in command.told(sweeping, Mock(), quiet=False):
        pass
    lines = capsys.readouterr().err.splitlines()[1:]
    assert [line.partition(": ")[0] for line in lines] == [
        "0/4",
        "1/4",
        "2/4",
        f"3/4, about {time_words(10)} left",
        f"4/4, about {time_words(0)} left",
    ]


def test_what_an_engine_prints_on_the_way_is_not_taken_for_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Talks(Here):
        def next(self) -> Outcome:
            print("(raylet) A worker died")
            return super().next()

    monkeypatch.setattr(command, "engine_of", lambda *_: Talks())
    sweeping = Sweeping(sweep_of({"base": FEW}), tmp_path / "out", plain=True, device="cpu")
    assert command.carried_out(sweeping, Wishes(quiet=True))
    assert capsys.readouterr() == ("", "(raylet) A worker died\n")


def test_a_dry_run_says_plan_and_cost_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "recipes" / "sweeps" / "rates_and_widths.yaml"
    words = ["sweep", str(file), "--folder", str(tmp_path / "out"), "--dry-run", "--processes", "2", "--device", "cpu"]
    assert main([*words, "base.epochs=1"]) == 0
    said = capsys.readouterr().out
    assert "8 points: 4 combinations at seeds 0, 1; 8 to do." in said
    assert "  width 8, lr 0.03\n" in said
    assert "Cost: 160 steps, " in said
    assert not (tmp_path / "out").exists()
    assert main([*words, "base.epochs=1", "grid={}", "seeds=1"]) == 0
    assert "1 point: 1 combination at seed 0; 1 to do." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "rya"], "Unknown engine 'rya'. Did you mean 'ray'?"),
        (["--engine", "slurm"], "Unknown engine 'slurm'. Expected one of: processes, ray"),
        (["--processes", "-1"], "processes is -1, but must be 0 or more"),
        (["--gpus-per-run", "2"], "gpus_per_run is 2, but must be from 0 to 1"),
        (["--retries", "-1"], "retries is -1, but must be 0 or more"),
        (["grid={epochs: [x]}"], "grid, point 1 of 1 (epochs x)"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_wishes_that_cannot_be_fulfilled_are_said_first(
    words: list[str], said: str, dry: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(ROOT / "recipes" / "sweeps" / "rates_and_widths.yaml")
    assert main(["sweep", file, "--plain", "--folder", str(tmp_path / "out"), *dry, *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


def test_a_run_that_got_stuck_fails_its_notebook_and_is_the_result_of_its_point(tmp_path: Path) -> None:
    recipe, report = lab.Recipe(init="zeros", epochs=2), tmp_path / "report.ipynb"
    order = Order(recipe.id, recipe.to_yaml(), tmp_path / "run", report, notebook_text(), "cpu", forked=False)
    outcome = done(order)
    assert (outcome.status, outcome.ended, len(outcome.accuracies)) == ("stuck", True, 2)
    assert [each.evalue.partition(":")[0] for each in outputs(report) if each.output_type == "error"] == [
        "The run got stuck"
    ]


def test_an_order_that_cannot_be_read_is_an_outcome(tmp_path: Path) -> None:
    outcome = done(Order("0" * 12, "optimizer: adm", tmp_path / "run"))
    assert outcome.status == "failed"
    assert "Did you mean 'adam'?" in outcome.detail


@pytest.mark.parametrize(("points", "forked"), [(2, False), (3, True)])
def test_kernels_are_forked_where_a_process_takes_more_than_one(
    points: int, forked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Mock()
    worker.return_value.process.poll.return_value = None
    monkeypatch.setattr(processes, "Worker", worker)
    monkeypatch.setattr(processes, "end", lambda _: None)
    with engine_of(Wishes(processes=2, device="cpu"), points) as engine:
        engine.take(Order("0" * 12, "{}", tmp_path / "run"))
    assert worker.return_value.take.call_args.args[0].forked is forked


def test_without_ray_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"pip install 'lab\[cluster\]'$"):
        Cluster()
