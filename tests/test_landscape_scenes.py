"""One scale for all pictures, the marks at which a plane misleads, and words that say only what was measured."""

from dataclasses import replace

import numpy as np
import pytest
from small_scenes import MEASURED, ORIGIN, bowl, cliff, path_of, scene_of, surface_of, with_holes

from lab.landscape.brief import brief_words
from lab.landscape.grids import Spline, SplineError
from lab.landscape.planes import Origin
from lab.landscape.scenes import BANDS, Scale, Scene, gap_words, round_powers, round_steps, share, trust_words


def test_a_scale_spans_all_surfaces_and_paths():
    low = scene_of(lambda a, b: bowl(a, b) - 0.4)
    scale = Scale.of([scene_of(), low])
    assert (scale.low, scale.high) == (low.surface.loss.min(), scene_of().surface.loss.max())
    path = replace(path_of(), on_plane=np.full(5, 0.3))
    assert Scale.of([scene_of(paths=[path])]).low == 0.3


def test_losses_of_more_than_a_decade_are_shown_by_their_logarithm():
    assert not Scale.of([scene_of()]).log
    scale = Scale.of([scene_of(cliff)])
    assert scale.log
    assert scale.heights(np.array([1.0, 0.1])).tolist() == [0, -1]
    assert scale.name == "loss, log scale"


def test_a_cliff_is_cut_off_and_said():
    scene = scene_of(lambda a, b: np.where(a > 2.5, 1e12, bowl(a, b)), paths=[])
    scale = Scale.of([scene])
    assert scale.high == 100 * np.median(scene.surface.loss)
    assert scale.cut(scene.surface) == f"20% of the points lie above {scale.high:.3g} and are cut off."
    bottom, top = scale.range
    assert np.nanmax(scale.heights(scene.surface.loss)) == pytest.approx(2 * top - bottom)
    assert scale.cut(scene_of().surface) == ""


def test_infinite_losses_are_cut_off_too_and_what_is_not_known_is_a_hole():
    losses = np.array([1.0, np.inf, np.nan, 4.0])
    scale = Scale(1.0, 4.0, log=False)
    assert scale.heights(losses)[[0, 1, 3]].tolist() == [1, 7, 4]
    assert np.isnan(scale.heights(losses)[2])


@pytest.mark.parametrize("losses", [[], [np.nan], [0.0, 0.0], [3.0]], ids=str)
def test_a_scale_of_next_to_nothing_is_a_range_all_the_same(losses):
    scene = scene_of(paths=[])
    loss = np.full((5, 5), np.nan)
    loss.flat[: len(losses)] = losses
    scale = Scale.of([replace(scene, surface=replace(scene.surface, loss=loss))])
    assert scale.range[1] > scale.range[0]
    assert len(scale.levels) == BANDS + 1
    assert all(scale.low <= float(text) <= scale.high for text in scale.ticks[1])


def test_a_loss_of_zero_has_a_place_on_a_logarithmic_scale():
    scale = Scale.of([scene_of(lambda a, b: np.maximum(0, a**2 - 1) + 0 * b, paths=[])])
    assert scale.log
    assert np.isfinite(scale.heights(np.array([0.0]))).all()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.05, 4, [0.05, 0.1, 0.2, 0.5, 1, 2]), (1e-3, 3, [1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3]), (1e-5, 1, 6)],
)
def test_ticks_of_a_logarithmic_scale(low, high, ticks):
    found = round_powers(low, high)
    assert len(found) <= 7
    assert found == ticks if isinstance(ticks, list) and len(ticks) <= 7 else all(low <= x <= high for x in found)


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0.5, 4.2, [1, 2, 3, 4]), (-1, 1, [-1, -0.5, 0, 0.5, 1]), (0.11, 0.13, 5)]
)
def test_ticks_of_a_linear_scale(low, high, ticks):
    found = round_steps(low, high)
    assert found == ticks if isinstance(ticks, list) else len(found) == ticks


def test_marks_are_off_where_the_plane_is_more_than_a_tenth_wrong():
    path = replace(path_of(count=4), true=np.array([1, 1, 1, np.nan]), on_plane=np.array([1.09, 1.11, 0.89, 1]))
    assert path.off.tolist() == [False, True, True, False]


def test_the_beginning_of_a_path():
    path = path_of().first(2)
    assert (len(path.coordinates), len(path.true), path.steps.tolist()) == (2, 2, [0, 10])


def test_trust_words_say_all_that_decides_what_is_seen():
    scene = scene_of(paths=[path_of(off=(0, 4))])
    assert trust_words(scene) == (
        "Plane of the path, through the last point, holds 87% of the variance of the path; sgd, step 40: loss 1.25, on "
        "the plane 2.5, 5 marks off by 0% in the middle and up to 100% (2 of 5 grey: more than 10%); "
        "5x5 points, all exact; 100 (draw 3) of 269 validation images; standard error "
        "of a loss 0.45 (median); statistics of batch normalisation as stored; float32."
    )


def test_only_marks_that_are_known_are_counted():
    path = replace(path_of(off=(1,)), true=np.array([np.nan, 1, 1, 1, 1.0]), on_plane=np.array([1, 2, np.nan, 1.04, 1]))
    assert gap_words(path) == "3 marks off by 4% in the middle and up to 100% (1 of 3 grey: more than 10%)"
    assert gap_words(path.first(2)) == ""


def test_a_plane_for_several_paths_says_what_it_shows_of_each():
    whole = scene_of(paths=[replace(path_of(), explained=0.314), replace(path_of(), name="adam", explained=0.992)])
    joint = replace(whole, surface=replace(whole.surface, origin=replace(ORIGIN, kind="joint")))
    assert "; sgd, 31.4% of the variance of this path; adam, 99.2% of the variance of this path; " in trust_words(joint)
    assert "of this path" not in trust_words(whole)


def test_what_was_not_measured_is_not_said():
    random = surface_of(bowl, origin=Origin("random", seed=7, normalisation="layer"))
    whole = replace(random, measured=replace(MEASURED, samples=269), error=np.zeros((5, 5)))
    assert trust_words(Scene(whole)) == (
        "Plane of random directions, seed 7, normalisation layer; 5x5 points, all exact; all 269 validation images; "
        "statistics of batch normalisation as stored; float32."
    )
    bare = replace(whole, measured=replace(whole.measured, batchnorm=None))
    assert trust_words(Scene(bare)).endswith("; all 269 validation images; float32.")
    path = replace(path_of(), true=np.full(5, np.nan))
    assert "sgd" not in trust_words(Scene(whole, (path,)))
    assert "nan" not in trust_words(with_holes(scene_of()))


def test_a_spline_changes_no_scale():
    uneven = np.random.default_rng(0).uniform(0.2, 1.7, (9, 9))
    exact = scene_of(lambda a, b: uneven, paths=(), size=9)
    fine = replace(exact, surface=exact.surface.shown(33))
    assert fine.surface.loss.max() > 1.02 * uneven.max()
    assert fine.surface.loss.min() < 0.98 * uneven.min()
    assert Scale.of([fine]) == Scale.of([exact])
    assert Scale.of([fine]).cut(fine.surface) == ""  # where a spline swings above, nothing was measured


def test_a_spline_says_how_many_points_are_exact_and_what_was_held_out():
    few = surface_of(bowl, size=9).shown(33)
    off = few.spline.error
    assert (
        f"; 33x33 points: spline of 9x9 exact ones, that of 5x5 of them off by {share(off.median)} in the middle and "
        f"up to {share(off.largest)} at 56 points held out; "
    ) in trust_words(Scene(few))
    ratio = replace(few, spline=replace(few.spline, knots=5, ratio=True, there=1200))
    words = "33x33 points: the surface at step 1,200 times a spline of the ratio to it at 5x5 exact ones, off by "
    assert words in trust_words(Scene(ratio))
    twice = replace(ratio, spline=replace(ratio.spline, base=9))
    assert "the surface at step 1,200, itself of 9x9 exact ones, times a spline " in trust_words(Scene(twice))
    line = surface_of(bowl, size=9, line=True).shown(33)
    assert "; 33 points: spline of 9 exact ones, that of 5 of them off by " in trust_words(Scene(line))


def test_an_interpolation_and_the_statistics_of_batches_are_said():
    surface = replace(
        surface_of(bowl, origin=replace(ORIGIN, kind="joint", note="2 runs")),
        spline=Spline(3, SplineError(0.001, 0.004, 0.0123, 24), 3),
        measured=replace(MEASURED, batchnorm="batch"),
    )
    words = trust_words(Scene(surface))
    assert words.startswith("Joint plane of the paths, 2 runs, holds 87% of the variance of all paths; ")
    assert (
        "; 5x5 points: spline of 3x3 exact ones, off by 0.1% in the middle and up to 1.23% at 24 points held out; "
        in words
    )
    assert "statistics of batch normalisation those of each batch of 64 (mixed by seed 3); " in words


def test_a_line_says_the_plane_the_share_the_gap_and_the_noise():
    scene = scene_of(paths=[path_of(off=(1,))])
    error = np.median(scene.surface.error)
    assert brief_words(scene) == (
        f"Plane of the path, 87% of it · off the true loss by 0%, at most 100% · 100 of 269 images, loss ± {error:.2g}"
        " · BatchNorm as stored"
    )
    own = [replace(path_of(), explained=share) for share in (0.5, 0.25)]
    assert "Plane of the path, 25% to 50% of each path · " in brief_words(scene_of(paths=own))
    every = replace(scene.surface, measured=replace(MEASURED, samples=269), error=np.zeros((5, 5)))
    assert brief_words(Scene(every)) == "Plane of the path, 87% of it · all 269 images · BatchNorm as stored"


def test_the_line_says_what_decides_directions_the_statistics_and_what_is_cut_off():
    origin = Origin("random", seed=3, normalisation="filter", note="")
    cut = replace(scene_of(cliff, [], origin=origin), surface=surface_of(cliff, origin=origin))
    low = Scale(0.01, float(np.median(cut.surface.loss)), log=True)
    assert brief_words(cut, low).startswith("Plane of random directions (seed 3, normalised by filter) · ")
    assert brief_words(cut, low).endswith(" · BatchNorm as stored · 40% of the points cut off")
    assert brief_words(cut).endswith(" · BatchNorm as stored")
    batches = replace(
        cut.surface, origin=replace(origin, normalisation="none"), measured=replace(MEASURED, batchnorm="batch")
    )
    assert "(seed 3, not normalised) · " in brief_words(Scene(batches))
    assert brief_words(Scene(batches)).endswith(" · BatchNorm by batch")


@pytest.mark.parametrize(
    ("fraction", "said"), [(0.8725, "87.2%"), (10, "1000%"), (12.3, "12x"), (999.6, "1,000x"), (1e5, ">1,000x")]
)
def test_no_percentages_stand_where_nobody_reads_them(fraction, said):
    assert share(fraction) == said
    assert share(float("inf")) == ">1,000x"
    assert (share(8e-9), share(0.0)) == ("<0.001%", "0%")
