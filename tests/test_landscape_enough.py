"""How many samples are enough: known noise, numbers that are held to, and pictures that say so."""

import json
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_landscapes import mean_loss, plane_of, session_of
from small_runs import SMALL, small_model
from small_scenes import surface_of

from lab.__main__ import main
from lab.followed import follow
from lab.landscape import Evaluator, Grid, Live, Question, samples_of, surface
from lab.landscape import enough as module
from lab.landscape.brief import brief_words
from lab.landscape.enough import Count, Counted, coarsest, enough_samples, noise_in_levels
from lab.landscape.live_counts import Counts, off
from lab.landscape.scenes import Scene, trust_words
from lab.landscape.scenes import share as share_of
from lab.landscape.surfaces import Measured
from lab.landscape.trails import at_once
from lab.landscape_scenes import scenes_of
from lab.training import Training
from lab.views import Lens, View

pytestmark = pytest.mark.usefixtures("one_thread")
GRID = Grid(17)
SQUARE = {"reach": (1.0, 1.0), "middle": (0.0, 0.0)}


@pytest.fixture
def small_pilot(monkeypatch):
    monkeypatch.setattr(module, "PILOT", 16)


@pytest.fixture(scope="module")
def evaluator(one_thread):
    session = session_of({"name": "mlp", "width": 8})
    return Evaluator(session.model, plane_of("random", session), samples_of(session))


def test_noise_is_a_share_of_a_levels_height_by_the_scale_of_the_picture():
    ramp = surface_of(lambda a, b: 1.5 + a + 0 * b, **SQUARE)  # from 0.5 to 2.5, not a decade; 16 levels
    off = np.full(ramp.loss.shape, 0.03)
    even = replace(ramp, difference_error=off)
    assert noise_in_levels(even) == pytest.approx(0.03 * 16 / 2)
    steep = surface_of(lambda a, b: 10.0 ** (a + 0 * b), **SQUARE)  # from 0.1 to 10, drawn by its logarithm
    assert noise_in_levels(replace(steep, error=0.05 * steep.loss)) == pytest.approx(0.05 / np.log(10) * 16 / 2)
    corner = off.copy()
    corner[0, 0] = 9.0  # nine of ten points count
    assert noise_in_levels(replace(ramp, difference_error=corner)) == pytest.approx(0.03 * 16 / 2)
    assert np.isnan(noise_in_levels(replace(ramp, loss=np.full(ramp.loss.shape, np.nan))))


@pytest.mark.usefixtures("small_pilot")
def test_the_number_is_the_smallest_of_the_doubled_ones_at_which_the_pilots_noise_is_small_enough(evaluator):
    total, pilot = len(evaluator.samples), evaluator.with_samples(evaluator.samples.first(16))
    noise = noise_in_levels(at_once(coarsest(pilot, GRID))) / (1 / 16 - 1 / total) ** 0.5
    numbers = [16, 32, 64, 128, 256, total]
    for share in (3.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.001):
        expected = next(count for count in numbers if noise * max(0, 1 / count - 1 / total) ** 0.5 <= share)
        assert enough_samples(evaluator, GRID, share) == enough_samples(evaluator, GRID, share) == expected
    assert enough_samples(evaluator, GRID, 0) == total
    few = evaluator.with_samples(evaluator.samples.first(50))
    assert enough_samples(few, GRID, 0.001) == 50  # no more than there are


@pytest.mark.usefixtures("small_pilot")
def test_what_is_enough_is_about_as_noisy_as_was_wanted(evaluator):
    for share in (1.0, 0.5):
        count = enough_samples(evaluator, GRID, share)
        assert 16 < count < len(evaluator.samples)
        few = evaluator.with_samples(evaluator.samples.first(count))
        assert noise_in_levels(at_once(coarsest(few, GRID))) < 1.3 * share


@pytest.mark.usefixtures("small_pilot")
def test_in_mode_batch_the_pilot_is_a_batch_at_least():
    session = session_of({"name": "mlp", "width": 8, "norm": "batch"})
    options = {"batchnorm": "batch", "batch_size": 40}
    evaluator = Evaluator(session.model, plane_of("random", session), samples_of(session), **options)
    assert enough_samples(evaluator, GRID, 100.0) == 40
    assert len(evaluator.with_samples(evaluator.samples.first(100)).samples) == 80


@pytest.mark.parametrize(
    ("noise", "samples", "enough", "mode", "expected"),
    [
        (0.01, 256, 256, "stored", True),
        (0.01, 128, 128, "stored", False),  # there is nothing below the pilot
        (0.01, 256, 256, "batch", False),  # which here is a batch
        (0.01, 512, 512, "batch", True),
        (0.01, 512, 256, "stored", False),  # another run needs them
        (0.5, 256, 256, "stored", False),
        (1.1, 128, 128, "stored", True),
        (1.1, 2048, 2048, "stored", False),  # there are no more
    ],
)
def test_images_are_counted_anew_where_their_number_can_change(
    monkeypatch, noise, samples, enough, mode, expected
) -> None:
    monkeypatch.setattr("lab.landscape.live_counts.noise_in_levels", lambda _: noise)
    seen = SimpleNamespace(measured=Measured("validation", samples, 4096, 0, mode, 256, "float32"))
    assert off(seen, Count(enough, 2048), aim=0.5) is expected


def test_a_few_samples_are_all_taken(evaluator):
    few = evaluator.with_samples(evaluator.samples.first(128))
    assert enough_samples(few, GRID, 1.0) == 128


@pytest.mark.usefixtures("small_pilot")
def test_a_picture_of_fewer_samples_is_theirs_bit_for_bit_and_its_marks_are_of_all():
    run = follow(SMALL.changed(model={"name": "mlp", "width": 8}), Lens(), progress=False, device="cpu")
    (scene,) = scenes_of([run], View(size=9, enough=1.0), lambda done, of: None)
    on, every = scene.surface.measured, len(run.samples)
    assert (on.most, on.enough) == (every, 1.0)
    assert on.samples < every
    direct = Evaluator(run.model, scene.plane, run.samples.first(on.samples))
    assert np.array_equal(scene.surface.loss, surface(direct, scene.surface.grid).loss)
    (path,) = scene.paths
    last = Evaluator(run.model, scene.plane, run.samples).values(path.coordinates[-1:]).loss
    assert path.on_plane[-1] == pytest.approx(last[0], rel=1e-6)
    assert path.true[-1] == pytest.approx(run.glimpses[-1].loss)


@pytest.mark.usefixtures("small_pilot")
def test_the_command_says_how_many_were_enough(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SMALL.changed(model={"name": "mlp", "width": 8}, epochs=1).save("one.yaml")
    words = [
        "landscape",
        "one.yaml",
        "--device",
        "cpu",
        "--quiet",
        "--json",
        "--size",
        "5",
        "--samples",
        "200",
        "--plane",
        "random",
    ]
    found = {}
    for share in ("1", "0"):
        assert main([*words, "--enough", share, "--output", f"of{share}"]) == 0
        (found[share],) = json.loads(capsys.readouterr().out)["scenes"]
        assert json.loads((Path(f"of{share}") / "facts.json").read_text())["scenes"][0]["measured"]["samples"] < 201
    few, every = found["1"], found["0"]
    count = few["measured"]["samples"]
    assert count < 200 == every["measured"]["samples"] == few["measured"]["most"]
    assert (
        f"{count} (draw 0) of 269 validation images; enough for standard errors of 100% of a level "
        f"({share_of(few['measured']['noise'])} here); marks on 200" in few["words"]
    )
    assert "enough for" not in every["words"]
    assert few["paths"] == every["paths"]
    assert main([*words, "--enough", "2"]) == 2
    assert "enough is 2.0, but must be from 0 (all samples) to 1 (a level's height)." in capsys.readouterr().err


# -- while runs train --------------------------------------------------------------------------------------------------


def settle(live):
    while live.step(still=True):
        pass


@pytest.mark.usefixtures("small_pilot")
def test_live_the_number_is_chosen_for_the_first_picture_of_a_run_and_marks_are_of_these_images_too():
    session = session_of(small_model("mlp"))
    live = Live(Question(size=9, lens=Lens(samples=200), enough=1.0))
    live.add(1, session)
    settle(live)
    (portrait,) = live.portraits()
    whole = Evaluator(session.model, portrait.plane, samples_of(session, count=200))
    count = enough_samples(whole, portrait.surface.grid, 1.0)
    on = portrait.surface.measured
    assert (on.samples, on.most, on.enough, on.marked) == (count, 200, 1.0, None)
    assert 16 <= count < 200
    assert on.noise == noise_in_levels(portrait.surface) > 0
    words = f"{count} (draw 0) of 269 validation images; by the first picture enough for standard errors of 100%"
    assert f"{words} of a level ({share_of(on.noise)} here), and kept; " in trust_words(Scene(portrait.surface))
    loss, place = mean_loss(session, samples_of(session, count=count))
    assert portrait.path.true[-1] == pytest.approx(float(loss(place)), rel=1e-5)


@pytest.mark.usefixtures("small_pilot")
def test_live_runs_on_one_plane_have_the_same_images_and_keep_them():
    live, seen = Live(Question(size=9, lens=Lens(samples=200), enough=1.0), share=1.0), set()
    recipe = SMALL.changed(model=small_model("mlp"), epochs=30)
    sessions = {number: Training(recipe.changed(seed=number), device="cpu") for number in (1, 2)}
    events = {number: iter(session) for number, session in sessions.items()}
    for _ in range(3):  # in between the plane of the paths replaces a random one
        for number, session in sessions.items():
            for _, event in zip(range(20), events[number], strict=False):
                live.hear(number, session, event)
        settle(live)
        seen |= {(each.number, each.surface.measured.samples) for each in live.portraits()}
        assert all(each.joint for each in live.portraits())
    assert len({count for _, count in seen}) == 1
    assert len(seen) == 2
    live.ask(live.question._replace(replay=True))
    settle(live)
    for portrait in live.portraits():
        assert len(portrait.past) > 3
        on = [replace(seen.measured, noise=None) for seen in portrait.past.values()]
        assert set(on) == {replace(portrait.surface.measured, noise=None)}


@pytest.mark.usefixtures("small_pilot")
@pytest.mark.parametrize("plane", ["random", "path"])
def test_live_runs_that_share_no_plane_have_the_same_images_as_many_as_the_noisiest_needs(plane, monkeypatch):
    counts = {1: 16, 2: 64, 3: 32}
    live = Live(Question(plane=plane, size=9, lens=Lens(samples=200), enough=1.0))

    def known(run, *_):
        yield
        return Counted(Count(counts[next(number for number, each in live.runs.items() if each is run)], 200), 0)

    monkeypatch.setattr("lab.landscape.live_counts.counting", known)
    for number, width in ((1, 8), (2, 12), (3, 16)):  # three architectures
        live.add(number, session_of({**small_model("mlp"), "width": width}))
        settle(live)
    assert [each.surface.measured.samples for each in live.portraits()] == [64] * 3
    live.forget(2)
    settle(live)
    assert [each.surface.measured.samples for each in live.portraits()] == [64] * 2


@pytest.mark.usefixtures("small_pilot")
def test_live_what_is_held_is_there_before_the_first_picture_and_images_that_are_shared_are_there_once():
    live = Live(Question(plane="random", size=9, lens=Lens(samples=200), enough=1.0))
    live.add(1, session_of(small_model("mlp")))
    while not any(view.evaluators for view in live._views.values()):
        live.step()
    (view,), images = live._views.values(), 200 * 8 * 8
    assert view._survey is None
    assert live.held == images + view._counted.evaluator.held
    live.add(2, session_of(small_model("mlp")))
    settle(live)
    one, other = (view._survey.evaluator for view in live._views.values())
    assert len(one.samples) < 200
    assert live.held == 2 * images + one.held + other.held
    other.samples = one.samples
    assert live.held == images + one.held + other.held


@pytest.mark.usefixtures("small_pilot")
def test_live_what_is_enough_on_one_plane_is_not_said_of_another():
    live = Live(Question(plane="random", size=9, lens=Lens(samples=200), enough=1.0))
    live.add(1, session_of(small_model("mlp")))
    settle(live)
    live.ask(live.question._replace(plane="hessian"))
    settle(live)
    (portrait,) = live.portraits()
    whole = samples_of(live.runs[1], count=200)
    evaluator = Evaluator(live.runs[1].network, portrait.plane, whole)
    assert portrait.surface.measured.samples == enough_samples(evaluator, portrait.surface.grid, 1.0)


def test_live_all_images_are_taken_where_their_number_was_given():
    live = Live(Question(size=9, lens=Lens(samples=200), enough=0.0))
    live.add(1, session_of(small_model("mlp")))
    settle(live)
    on = live.portraits()[0].surface.measured
    assert (on.samples, on.most) == (200, None)


def counts_and_surfaces(monkeypatch, found):
    """A run that is counted to have enough with `found` images, one after the other; and pictures so noisy."""
    answers = iter(found)

    def known(run, *_):
        yield
        return Counted(Count(next(answers), 200), run.step)

    monkeypatch.setattr("lab.landscape.live_counts.counting", known)
    counts, run, asked = Counts(), SimpleNamespace(step=10), Question(lens=Lens(samples=200), enough=0.5)
    frame = SimpleNamespace(plane=None, grid_of=lambda size: None)
    ramp = surface_of(lambda a, b: 1.5 + a + 0 * b, **SQUARE)  # 16 levels from 0.5 to 2.5

    def seen(noise, samples):
        off = np.full(ramp.loss.shape, noise * 2 / 16)
        return replace(ramp, difference_error=off, measured=replace(ramp.measured, samples=samples))

    return counts, asked, seen, run, lambda: at_once(counts.choosing(asked, {1: frame}, {1: run}))


@pytest.mark.usefixtures("small_pilot")
def test_images_are_counted_anew_where_the_noise_has_left_what_was_aimed_at(monkeypatch):
    counts, asked, seen, run, choose = counts_and_surfaces(monkeypatch, [64, 128, 200])
    chosen = choose()
    assert (chosen.lens.samples, chosen.anew) == (64, None)
    for noise in (0.26, 0.5, 0.99):  # within half and twice the aim
        assert not counts.doubt(asked, 1, seen(noise, 64), 1000)
    assert not counts.doubt(asked, 1, seen(1.1, 64), 19)  # not before the run has made as many steps again
    assert choose().lens.samples == 64
    run.step = 20
    assert counts.doubt(asked, 1, seen(1.1, 64), 20)
    chosen = choose()
    assert (chosen.lens.samples, chosen.anew) == (128, 20)
    assert not counts.doubt(asked, 1, seen(1.1, 128), 39)
    run.step = 40
    assert counts.doubt(asked, 1, seen(0.2, 128), 40)
    assert (choose().lens.samples, choose().anew) == (200, 40)
    assert not counts.doubt(asked, 1, seen(9.0, 200), 999)  # there are no more
    assert not counts.doubt(asked, 1, seen(0.1, 300), 999)  # as another run needs


def test_images_that_are_counted_anew_to_be_as_many_are_not_said_to_have_changed(monkeypatch):
    counts, asked, seen, run, choose = counts_and_surfaces(monkeypatch, [64, 64])
    choose()
    run.step = 30
    assert counts.doubt(asked, 1, seen(2.0, 64), 30)
    assert choose().anew is None
    assert not counts.doubt(asked, 1, seen(2.0, 64), 59)


def test_a_picture_says_that_its_images_were_counted_anew():
    ramp = surface_of(lambda a, b: 1.5 + a + 0 * b, **SQUARE)
    on = replace(ramp.measured, samples=100, most=200, enough=0.5, noise=0.4, anew=1200)
    words = {samples: Scene(replace(ramp, measured=replace(on, samples=samples, total=200))) for samples in (100, 200)}
    again = "counted anew at step 1,200, as the noise had changed: "
    assert f"{again}enough for standard errors of 50% of a level (40% here)" in trust_words(words[100])
    assert f"{again}fewer are not enough for standard errors" in trust_words(words[200])
    assert all("images (counted anew at step 1,200)" in brief_words(scene) for scene in words.values())


@pytest.mark.usefixtures("small_pilot")
def test_live_a_picture_is_made_anew_on_as_many_images_as_its_noise_needs_now(monkeypatch):
    monkeypatch.setattr("lab.landscape.live_counts.noise_in_levels", lambda _: 9.0)
    live = Live(Question(size=9, lens=Lens(samples=200), enough=1.0), share=1.0)
    answers = chain([32], repeat(64))

    def known(run, *_):
        yield
        return Counted(Count(next(answers), 200), run.newest.step)

    monkeypatch.setattr("lab.landscape.live_counts.counting", known)
    session, seen = Training(SMALL.changed(model=small_model("mlp"), epochs=2), device="cpu"), []
    for event in session:
        live.hear(1, session, event)
        settle(live)
        seen += [each.surface.measured for each in live.portraits() if each.surface]
    assert list(dict.fromkeys(on.samples for on in seen)) == [32, 64]
    assert seen[-1].anew is not None
    assert "(counted anew at step " in brief_words(Scene(live.portraits()[0].surface))
