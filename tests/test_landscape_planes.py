"""Planes against what is known: SVD axes, hand-made paths, points that lie in them; files that give back every bit."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_landscapes import KINDS, plane_of, session_of, snapshots, trail_of
from small_runs import small_model
from torch import nn

from lab.landscape import Origin, Plane, Trail, hessian, joint_plane, line, path_plane, random_plane, through, trained
from lab.landscape.trails import at_once, gathering, laying_joint, laying_path
from lab.landscape.weights import flat, inner, norm
from lab.views import CHOICES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def session(one_thread):
    return session_of({**small_model("cnn"), "norm": "batch"})


def vectors(*rows):
    """Points of a space of six numbers, as weights of two tensors."""
    return [
        {"w": torch.tensor(row[:4]).view(2, 2), "b": torch.tensor(row[4:])} for row in np.array(rows, dtype=np.float32)
    ]


def on_a_trail(*rows, **options):
    first, *others = vectors(*rows)
    trail = Trail(first, **options)
    for step, weights in enumerate(others):
        trail.add(weights, step + 1)
    return trail


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a) and list(a) == list(b)


# -- random ------------------------------------------------------------------------------------------------------------


def test_filters_have_the_lengths_of_the_weights_and_vectors_stay(session):
    centre = trained(session.model)
    for direction in random_plane(centre, seed=0).directions:
        for name, weight in centre.items():
            expected = weight.flatten(1).norm(dim=1) if weight.dim() > 1 else torch.zeros(())
            found = direction[name].flatten(1).norm(dim=1) if weight.dim() > 1 else direction[name].norm()
            assert torch.allclose(found, expected, rtol=1e-5)


def test_layers_and_the_whole_have_the_lengths_of_the_weights(session):
    centre = trained(session.model)
    layer, plain = (random_plane(centre, seed=0, normalisation=kind).directions[0] for kind in ("layer", "none"))
    assert [float(layer[name].norm()) for name in centre] == pytest.approx(
        [float(weight.norm()) for weight in centre.values()], rel=1e-5, abs=1e-12
    )
    assert norm(plain) == pytest.approx(norm(centre))
    assert norm(layer) == pytest.approx(norm(centre))


def test_a_filter_of_zeros_gives_no_nan():
    plane = random_plane({"w": torch.zeros(3, 4), "v": torch.ones(2, 2)}, seed=0)
    assert not plane.directions[0]["w"].any()


@pytest.mark.parametrize("normalisation", CHOICES["normalisation"])
def test_a_seed_gives_the_same_directions_and_another_gives_others(normalisation, session):
    centre = trained(session.model)
    first, again, other = (random_plane(centre, seed=seed, normalisation=normalisation) for seed in (5, 5, 6))
    assert all(same(a, b) for a, b in zip(first.directions, again.directions, strict=True))
    assert not same(first.directions[0], other.directions[0])
    assert not same(first.directions[0], first.directions[1])
    assert first.origin == Origin("random", 5, normalisation)


def test_what_random_directions_refuse(session):
    with pytest.raises(ValueError, match=r"Unknown normalisation 'model'\. Expected one of: filter, layer, none\."):
        random_plane(trained(session.model), seed=0, normalisation="model")
    with pytest.raises(ValueError, match="Choose the normalisation 'layer'"):
        random_plane({"bias": torch.ones(3)}, seed=0)


def test_weights_of_zeros_give_no_direction_a_length_and_what_does_is_named():
    only_a_bias = {"w": torch.zeros(3, 4), "bias": torch.ones(3)}
    with pytest.raises(ValueError, match=r"scaled by filter .* are zero, .* normalisation 'layer' or 'none', or anoth"):
        random_plane(only_a_bias, seed=0)
    for normalisation in ("layer", "none"):
        assert norm(random_plane(only_a_bias, seed=0, normalisation=normalisation).directions[0]) > 0
    zeros = {name: torch.zeros_like(weight) for name, weight in only_a_bias.items()}
    for normalisation in CHOICES["normalisation"]:
        with pytest.raises(ValueError, match=r"^All weights are zero, .* Choose another plane\.$"):
            random_plane(zeros, seed=0, normalisation=normalisation)


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", ["last", "mean"])
def test_the_axes_of_a_path_are_those_of_its_svd(centre, session):
    points = torch.stack([flat(weights) for weights in snapshots(session, count=12)]).double()
    first, *others = snapshots(session, count=12)
    trail = Trail(first)
    for step, weights in enumerate(others):
        trail.add(weights, step)
    plane = path_plane(trail, centre=centre)
    _, values, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    for axis, direction in zip(axes, plane.directions, strict=False):
        assert abs(float(axis @ flat(direction).double())) == pytest.approx(1, abs=1e-5)
    assert plane.origin.explained == pytest.approx(float((values[:2] ** 2).sum() / (values**2).sum()), rel=1e-4)
    assert torch.allclose(flat(plane.centre).double(), points[-1] if centre == "last" else points.mean(0), atol=1e-6)


def test_the_explained_share_of_hand_made_paths():
    flat_path = on_a_trail([0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0])
    assert path_plane(flat_path).origin.explained == pytest.approx(1)
    # a cross with arms of 3, 2 and 1 along three axes: variances as 9 to 4 to 1
    arms = np.kron(np.diag([3.0, 2.0, 1.0]), [[1.0], [-1.0]])
    cross = on_a_trail(*np.pad(arms, ((0, 0), (0, 3))))
    assert path_plane(cross).origin.explained == pytest.approx(13 / 14)
    assert cross.explained_by(path_plane(cross)) == pytest.approx(13 / 14)
    third, first = vectors([0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0])
    other = Plane(third, (third, first), Origin("random"))
    assert cross.explained_by(other) == pytest.approx(10 / 14)


def test_a_path_ends_on_the_positive_side(session):
    plane = path_plane(trail_of(session), centre="mean")
    assert min(plane.project(list(snapshots(session))[-1]).coordinates) > 0


def test_a_trail_keeps_its_points_and_steps(session):
    trail, points = trail_of(session), list(snapshots(session))
    assert trail.steps == [0, 1, 2, 3, 4, 5]
    for index, point in enumerate(points):
        assert all(torch.allclose(trail.weights(index)[name], point[name], atol=1e-6) for name in point)


def test_a_full_trail_forgets_every_second_snapshot_and_stays_within_its_budget():
    rows = [[float(step == place) * step for place in range(6)] for step in range(6)] * 8
    trail = on_a_trail(*rows, budget_bytes=8 * 24)
    assert len(trail) <= 8
    assert trail.bytes <= 8 * 24
    gaps = np.diff(trail.steps)
    assert trail.steps[0] == 0
    assert (gaps == gaps[0]).all()
    offsets = torch.stack(trail.offsets)
    assert trail.gram == pytest.approx((offsets @ offsets.T).numpy())
    with pytest.raises(ValueError, match="hold 3 snapshots of this network; give it room for 4"):
        on_a_trail(*rows, budget_bytes=3 * 24)


@pytest.mark.parametrize("room", [4, 5, 32, 33])
def test_a_trail_always_has_its_first_and_its_newest_snapshot(room):
    rows = np.random.default_rng(0).normal(size=(100, 6))
    trail = on_a_trail(rows[0], budget_bytes=24 * room)
    for step, weights in enumerate(vectors(*rows[1:]), 1):
        trail.add(weights, step, always=True)
        assert (trail.steps[0], trail.steps[-1]) == (0, step)
        assert 3 <= len(trail) <= room or step < 2
    assert flat(trail.weights(-1)).tolist() == pytest.approx(rows[-1], rel=1e-6)


@pytest.mark.parametrize("rows", [[[0.0] * 6, [1.0] * 6], [[0.0] * 6] * 5, [[float(step)] * 6 for step in range(5)]])
def test_a_path_that_spans_no_plane_is_refused(rows):
    with pytest.raises(ValueError, match="at least three snapshots that differ"):
        path_plane(on_a_trail(*rows))


# -- joint and through points ------------------------------------------------------------------------------------------


def test_a_joint_plane_holds_paths_that_lie_in_one_plane():
    one = on_a_trail([0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0])
    two = on_a_trail([2, 0, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0], [3, 5, 0, 0, 0, 0])
    plane = joint_plane([one, two])
    assert plane.origin.explained == pytest.approx(1)
    assert plane.centre["w"].flatten().tolist() == pytest.approx([2, 3, 0, 0])  # the mean of the ends
    for trail in (one, two):
        assert [place.distance for place in trail.projections(plane)] == pytest.approx([0, 0, 0], abs=1e-5)


def test_the_axes_of_a_joint_plane_are_those_of_all_snapshots(session):
    trails = [trail_of(session), trail_of(session, seed=1)]
    plane = joint_plane(trails)
    points = torch.stack([flat(trail.weights(index)) for trail in trails for index in range(len(trail))]).double()
    axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)[2]
    for axis, direction in zip(axes, plane.directions, strict=False):
        assert abs(float(axis @ flat(direction).double())) == pytest.approx(1, abs=1e-5)


def test_the_inner_products_of_several_runs_are_those_of_all_their_points(session):
    others = [session_of({**small_model("cnn"), "norm": "batch"}, seed=seed) for seed in (1, 2)]
    trails = [trail_of(session), *(trail_of(other, seed=2) for other in others)]
    trails[1].add(trained(session.model), 9)  # of another length
    shifts = [trail.origin - trails[0].origin for trail in trails]
    points = torch.stack([flat(trail.weights(index)) for trail in trails for index in range(len(trail))]).double()
    points -= trails[0].origin.double()
    assert at_once(gathering(trails, shifts)) == pytest.approx((points @ points.T).numpy(), rel=1e-4, abs=1e-4)


def test_inner_products_within_a_run_are_not_made_again(monkeypatch):
    trails = [on_a_trail(*np.random.default_rng(seed).normal(size=(9, 6))) for seed in range(3)]
    made, dot = [], torch.dot
    monkeypatch.setattr(torch, "dot", lambda a, b: (made.append(1), dot(a, b))[1])
    at_once(gathering(trails, [trail.origin - trails[0].origin for trail in trails]))
    assert len(made) == 3 * 9 * (9 + 1) + 2 * (9 + 1)  # three pairs of runs, and two starts that were moved


@pytest.mark.parametrize("lay", [laying_joint, lambda trails: laying_path(trails[0])], ids=["joint", "path"])
def test_a_plane_is_laid_in_pieces_and_snapshots_that_come_meanwhile_are_left_out(lay):
    rows = np.random.default_rng(0).normal(size=(2, 30, 6))
    trails = [on_a_trail(*each, budget_bytes=32 * 24) for each in rows]
    expected, found, pieces = at_once(lay(trails)), [], 0

    def kept():
        found.append((yield from lay(trails)))

    for pieces, _ in enumerate(kept(), 1):
        trails[0].add(vectors(np.full(6, 10.0 * pieces))[0], 100 + pieces, always=True)
    assert pieces >= 30
    assert same(found[0].centre, expected.centre)
    assert all(same(a, b) for a, b in zip(found[0].directions, expected.directions, strict=True))


@pytest.mark.parametrize("count", [1, 9])
def test_a_joint_plane_is_for_two_to_eight_runs(count, session):
    with pytest.raises(ValueError, match=f"for 2 to 8 runs, not {count}"):
        joint_plane([trail_of(session)] * count)


def test_a_plane_through_three_points_holds_them(session):
    points = list(snapshots(session, count=4))[1:]
    plane = through(*points)
    assert [plane.project(point).distance for point in points] == pytest.approx([0, 0, 0], abs=1e-5)
    assert np.sum([plane.project(point).coordinates for point in points], 0) == pytest.approx([0, 0], abs=1e-4)
    for point in points:
        assert torch.allclose(flat(plane.point(*plane.project(point).coordinates)), flat(point), atol=1e-5)


def test_three_points_on_a_line_span_no_plane():
    with pytest.raises(ValueError, match="span no plane"):
        through(*vectors([0] * 6, [1] * 6, [3] * 6))


def test_a_line_runs_from_one_point_to_the_other(session):
    start, end = list(snapshots(session, count=2))
    plane = line(start, end)
    assert same(plane.point(0), start)
    assert torch.allclose(flat(plane.point(1)), flat(end), atol=1e-6)
    assert plane.project(end).coordinates == pytest.approx([1], abs=1e-5)


def test_eigenvectors_become_directions_of_length_one_at_right_angles(session):
    plane = plane_of("hessian", session)
    first, second = plane.directions
    assert [inner(first, first), inner(second, second)] == pytest.approx([1, 1], abs=1e-6)
    assert inner(first, second) == pytest.approx(0, abs=1e-6)
    given = vectors([2, 0, 0, 0, 0, 0], [1, 3, 0, 0, 0, 0])
    assert hessian(given[0], given, note="5, 2").origin == Origin("hessian", note="5, 2")


# -- projection and files ----------------------------------------------------------------------------------------------


def test_a_projection_onto_directions_that_are_not_at_right_angles():
    centre, first, second, away = vectors(
        [1, 1, 1, 1, 1, 1], [2, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 3, 0, 0, 4]
    )
    plane = Plane(centre, (first, second), Origin("random"))
    point = {name: plane.point(0.5, -2.0)[name] + away[name] for name in centre}
    found = plane.project(point)
    assert found.coordinates == pytest.approx([0.5, -2.0])
    assert found.distance == pytest.approx(5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_plane_comes_back_to_the_last_bit(kind, session, tmp_path):
    plane = plane_of(kind, session)
    plane.save(tmp_path / "plane.safetensors")
    again = Plane.load(tmp_path / "plane.safetensors")
    assert again.origin == plane.origin
    assert same(again.centre, plane.centre)
    assert len(again.directions) == len(plane.directions)
    assert all(same(a, b) for a, b in zip(again.directions, plane.directions, strict=True))


def test_a_file_that_is_no_plane_is_refused(tmp_path):
    (tmp_path / "cut").write_bytes(b"\x10\0\0")
    save_file({"weight": torch.zeros(2)}, tmp_path / "weights")
    for name in ("cut", "weights", "missing"):
        with pytest.raises(ValueError, match=f"There is no readable plane in .*{name}"):
            Plane.load(tmp_path / name)


def test_points_of_another_network_are_refused(session):
    plane = random_plane(trained(session.model), seed=0)
    with pytest.raises(ValueError, match=r"has nothing for 0\.weight, but the centre .*belong to different networks"):
        plane.project({"else": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"1 direction \(a line\) or 2, not 3"):
        Plane(plane.centre, (plane.centre,) * 3, Origin("random"))


def test_trained_weights_are_copies_without_buffers_and_frozen_ones():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2).requires_grad_(requires_grad=False))
    found = trained(model)
    assert list(found) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    found["0.weight"].fill_(7)
    assert not (model[0].weight == 7).any()
    assert trained(model, {"0.bias": torch.ones(2)})["0.bias"].tolist() == [1, 1]
