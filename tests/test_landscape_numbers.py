"""Numbers beside the pictures: those of a float64 reference within their errors, and words where there are none."""

import pytest
import torch
from small_landscapes import mean_loss
from small_runs import SMALL

from lab.followed import follow
from lab.landscape.weights import flat
from lab.landscape_numbers import heights_between, numbers_of, place_words
from lab.views import Lens

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = SMALL.changed(model={"name": "mlp", "width": 4})


def followed(**changes):
    return follow(TINY.changed(**changes), Lens(samples=40), progress=False, device="cpu", name=str(changes))


def test_eigenvalues_and_trace_are_those_of_the_dense_hessian_within_their_errors():
    run = followed()
    loss, place = mean_loss(run, run.samples)
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, place))
    largest, second, trace, *_ = numbers_of(run, seed=0)
    assert abs(largest.value - float(values[-1])) <= largest.error + 1e-4 * largest.value
    assert abs(second.value - float(values[-2])) <= second.error + 1e-4 * largest.value
    assert abs(trace.value - float(values.sum())) <= 4 * trace.error
    assert largest.text == f"{largest.value:.3g} ± {largest.error:.2g}"


def test_the_barrier_of_two_runs_is_that_of_a_plain_walk():
    runs = [followed(), followed(seed=3)]
    (found,) = heights_between(runs)
    loss, _ = mean_loss(runs[1], runs[1].samples)
    start, end = (flat(run.end).double() for run in runs)
    losses = [float(loss((1 - share) * start + share * end)) for share in torch.linspace(0, 1, 21).tolist()]
    above = [each - (1 - k / 20) * losses[0] - k / 20 * losses[-1] for k, each in enumerate(losses)]
    assert found.value == pytest.approx(max(above), abs=1e-5)
    assert found.sentence.startswith(f"Barrier: {found.value:.3g} ± {found.error:.2g} nats, ")


@pytest.mark.parametrize("count", [40, None])
def test_a_barrier_of_nothing_says_on_which_images_and_its_error_where_there_are_others(count):
    convex = SMALL.changed(model={"name": "mlp", "depth": 0})
    run, other = (
        follow(convex.changed(epochs=epochs), Lens(samples=count), progress=False, device="cpu", name=f"{epochs}")
        for epochs in (1, 2)
    )
    (found,) = heights_between([run, other])
    total = run.samples.total
    off, on = (f"0 ± {found.error:.2g}", f"40 of {total}") if count else ("0", f"all {total}")
    kind = " (standard error over images)" if count else ""
    assert found.value == 0
    assert bool(found.error) == bool(count)
    assert found.sentence == (
        f"Barrier: {off} nats, nowhere above the straight line from 1 to 2, on {on} validation images{kind}."
    )


def test_numbers_say_that_they_were_measured_with_stored_statistics():
    normed = TINY.changed(model={"name": "mlp", "width": 4, "norm": "batch"})
    runs = [follow(normed.changed(seed=seed), Lens(samples=200), progress=False, device="cpu") for seed in (0, 3)]
    total = runs[0].samples.total
    assert place_words(runs[0], 5) == f"step 5, 200 of {total} validation images, BatchNorm as stored"
    (found,) = heights_between(runs)
    assert found.where.endswith(f"on 128 of {total} validation images, BatchNorm by batch")  # a whole batch


def test_a_barrier_that_could_not_be_measured_is_not_said_to_be_none():
    normed = TINY.changed(model={"name": "mlp", "width": 4, "norm": "batch"})
    (found,) = heights_between([follow(normed, Lens(samples=40), progress=False, device="cpu") for _ in range(2)])
    assert found.sentence.startswith("No barrier: 40 samples make no batch of 128: ")


def test_there_is_no_barrier_between_different_functions():
    assert heights_between([followed(), followed(activation="tanh")]) == []
    assert heights_between([followed()]) == []


def test_where_a_loss_is_not_finite_there_are_no_numbers_and_the_reason_is_said():
    run = followed()
    with torch.no_grad():
        for weight in run.model.parameters():
            weight.mul_(1e25)
    found = numbers_of(run, seed=0)
    assert {each.text for each in found} == {"none"}
    assert "The curvature is not finite here" in found[0].why
