"""Generated pictures: learned on the training split alone, drawn anew for each batch, and told from copies."""

import itertools
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from small_runs import SMALL, pictures_in, same_history, same_weights, trained
from test_plots import luminance
from torch.nn import functional

from lab.augmentations import Lesson, augmentations, augmented, learners, learning, lessons
from lab.augmentations.generated import Decoder, negative_bound, teach_decoder, two_layers
from lab.catalogue import RecipeError
from lab.data import DataError, Split, load
from lab.diagnostics import copies
from lab.diagnostics.copies import Copies, nearest_of_class
from lab.events import Learned, Learning, Started, Step
from lab.generated_plots import generated_pictures
from lab.recipe import Recipe
from lab.runs import open_run, train
from lab.stacks import Stack
from lab.training import Training

LITTLE = {"name": "generated", "latent": 3, "width": 8, "steps": 20}
QUICK = SMALL.changed(augment=[LITTLE], epochs=2, batch_size=10)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def nothing_learned_before(monkeypatch):
    monkeypatch.setattr(learning, "_kept", {})


@pytest.fixture
def counted(monkeypatch):
    """How often the generator was taught, and how."""
    calls = []

    def teach(images, labels, classes, generator, *, latent, width, steps):
        calls.append((latent, width, steps))
        return teach_decoder(images, labels, classes, generator, latent=latent, width=width, steps=steps)

    monkeypatch.setitem(learners, "generated", teach)
    return calls


class Labelled:
    """Draws pictures whose pixels are the shares of the classes."""

    latent = 2

    def __call__(self, codes, shares):
        return shares[:, None, None, :].expand(len(shares), 1, 3, -1)


def replaced(images, labels, classes, seed=0, **settings):
    choice = augmentations.parse({"name": "generated", **settings})
    taught = {"generated": Lesson(Labelled(), 0.0)}
    return augmented([choice], images, labels, classes, stream(seed), lessons=taught)


# -- in a batch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_of_the_samples_is_replaced_by_pictures_of_their_class(share):
    labels = torch.arange(10_000) % 4
    out, after = replaced(torch.full((10_000, 1, 3, 4), 0.5), labels, 4, share=share)
    new = (out != 0.5).flatten(1).any(1)
    assert new.double().mean().item() == pytest.approx(share, abs=5 * (share * (1 - share)) ** 0.5 / 100)
    assert torch.equal(out[new][:, 0, 0], functional.one_hot(labels, 4).float()[new])
    assert torch.equal(after, labels)


def test_a_mixed_sample_is_replaced_by_a_picture_of_its_mixture():
    shares = torch.tensor([[0.3, 0.7], [1.0, 0.0]])
    out, after = replaced(torch.zeros(2, 1, 3, 2), shares, 2, share=1)
    assert torch.equal(out[:, 0, 0], shares)
    assert torch.equal(after, shares)


def test_no_share_is_no_change_bit_for_bit():
    images = torch.rand(50, 1, 3, 4, generator=stream(), dtype=torch.float64)
    assert torch.equal(replaced(images, torch.arange(50) % 4, 4, share=0)[0], images)


def test_every_batch_has_new_pictures():
    session = Training(QUICK.changed(augment=[{**LITTLE, "share": 1}]), device="cpu")
    images, labels = session.train_split.images[:6], session.train_split.labels[:6]
    first, second = (session.prepare_batch(images, labels)[0] for _ in range(2))
    assert not (first == second).flatten(1).all(1).any()


# -- learning ---------------------------------------------------------------------------------------------------------


def test_the_divergence_is_that_of_two_normal_distributions_and_the_rest_is_cross_entropy():
    encoder, decoder = two_layers(6 + 2, 5, 2 * 3), Decoder((1, 2, 3), 2, 3, 5)
    pixels, shares = torch.rand(4, 6, generator=stream()), torch.eye(2)[[0, 1, 1, 0]]
    mean, log_variance = encoder(torch.cat([pixels, shares], 1)).chunk(2, 1)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(q, torch.distributions.Normal(0, 1)).sum()
    codes = mean + q.scale * torch.randn(mean.shape, generator=stream(1))
    rebuilt = (
        -torch.distributions.Bernoulli(decoder(codes, shares).flatten(1), validate_args=False).log_prob(pixels).sum()
    )
    found = negative_bound(encoder, decoder, pixels, shares, stream(1))
    torch.testing.assert_close(found, (divergence + rebuilt) / 4)


def pictures_of(session, labels):
    decoder = session.lessons["generated"].content
    shares = functional.one_hot(labels, len(session.data.classes)).float()
    return decoder(torch.randn(len(labels), decoder.latent, generator=stream(9)), shares)


def test_a_network_that_knows_digits_knows_the_generated_ones():
    network, _ = trained(Recipe(epochs=10))
    labels = torch.arange(300) % 10
    images = (pictures_of(Training(Recipe(augment="generated"), device="cpu"), labels) * 255).round().to(torch.uint8)
    with torch.inference_mode():
        named = network.answer({}, images).argmax(1)
    assert (named == labels).double().mean() > 0.85


def test_only_the_training_split_is_learned_from():
    session, other = Training(QUICK, device="cpu"), Training(QUICK, device="cpu")
    junk = Split(torch.zeros_like(other.data.validation.images), other.data.validation.labels)
    other.data, other.validation_split = replace(other.data, validation=junk, test=junk), junk
    labels = torch.arange(10)
    assert torch.equal(pictures_of(session, labels), pictures_of(other, labels))
    other = Training(QUICK.changed(**{"modify.subset.draw": 1}), device="cpu")
    assert not torch.equal(pictures_of(session, labels), pictures_of(other, labels))


def test_equal_seeds_learn_the_same_to_the_last_bit_and_others_do_not(monkeypatch):
    labels, found = torch.arange(10), []
    for seed in (3, 3, 4):
        monkeypatch.setattr(learning, "_kept", {})
        found.append(pictures_of(Training(QUICK.changed(seed=seed), device="cpu"), labels))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_learning_leaves_the_global_stream_alone_and_works_for_those_who_only_look():
    before = torch.get_rng_state()
    session = Training(QUICK, device="cpu")
    with torch.inference_mode():
        assert session.lessons["generated"].seconds > 0
    assert torch.equal(torch.get_rng_state(), before)
    list(session)


def test_what_is_equal_is_learned_once(counted):
    for changes in ({}, {"epochs": 3}, {"optimizer": "adam"}, {"precision": "float64"}):
        list(Training(QUICK.changed(**changes), device="cpu"))
    list(Training(QUICK.changed(augment=[{**LITTLE, "share": 0.7}]), device="cpu"))
    list(Stack([QUICK, QUICK.changed(clip_norm=1)], device="cpu"))
    assert counted == [(3, 8, 20)]


@pytest.mark.parametrize(
    "changes",
    [{"seed": 8}, {"modify": [{"name": "subset", "per_class": 6}]}, {"augment": [{**LITTLE, "steps": 21}]}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_differs_is_learned_anew(changes, counted):
    for recipe in (QUICK, QUICK.changed(**changes), QUICK):
        list(Training(recipe, device="cpu"))
    assert len(counted) == 2


def test_pictures_that_were_written_into_are_learned_from_anew(counted):
    split = load(QUICK.data).train.take(torch.arange(40))
    choice = augmentations.parse(LITTLE)
    for _ in range(2):
        lessons([choice], split, 10, stream())
    split.images[0] = 255 - split.images[0]
    lessons([choice], split, 10, stream())
    assert len(counted) == 2


def test_only_so_many_lessons_are_kept(monkeypatch, counted):
    monkeypatch.setattr(learning, "KEPT", 2)
    for seed in (1, 2, 3, 1):
        assert Training(QUICK.changed(seed=seed), device="cpu").lessons
    assert len(counted) == 4
    assert len(learning._kept) == 2


def test_streamed_images_cannot_be_learned_from(tmp_path):
    recipe = pictures_in(tmp_path).changed(augment=[LITTLE])
    said = "^generated learns from all training images before the first step, but there are too many of them for the d"
    with pytest.raises(DataError, match=said):
        list(Training(recipe, device="cpu", data_budget_bytes=0))
    resident, _ = trained(recipe)
    again, _ = trained(recipe)
    assert same_history(resident, again)


def test_what_learns_nothing_has_no_lessons():
    session, events = trained(SMALL.changed(augment=["flip", "mixup"]))
    assert session.lessons == lessons(session.recipe.augment, session.train_split, 10, stream()) == {}
    assert not [event for event in events if isinstance(event, Learned)]


# -- what is told -----------------------------------------------------------------------------------------------------


def test_the_learning_is_told_before_the_first_step():
    _, events = trained(QUICK)
    assert isinstance(events[0], Started)
    assert (events[1].option, events[1].seconds > 0) == ("generated", True)
    assert isinstance(events[2], Step)


def test_one_may_leave_while_it_learns():
    events = iter(
        Training(SMALL.changed(augment=[{"name": "generated", "steps": 1_000_000, "width": 8}]), device="cpu")
    )
    assert isinstance(next(events), Started)
    assert [next(events) for _ in range(3)] == [Learning("generated")] * 3
    assert learning._kept == {}


def test_a_stack_can_be_left_while_one_of_its_arms_learns_and_be_gone_on_with():
    slow = [{**LITTLE, "steps": 200}]
    recipes = [QUICK.changed(precision="float64", augment=augment) for augment in ([], slow)]
    told = iter(stack := Stack(recipes, device="cpu"))
    assert [type(event) for _, event in itertools.islice(told, 2)] == [Started, Started]
    assert [next(told) for _ in range(2)] == [(1, Learning("generated"))] * 2
    assert learning._kept == {}
    assert [arm.step for arm in stack.arms] == [0, 0]
    list(stack)
    np.testing.assert_allclose(stack.arms[1].history.loss, trained(recipes[1])[0].history.loss, rtol=1e-11)


def test_the_seconds_of_learning_are_kept_with_the_run_and_printed(tmp_path, capsys):
    run = train(QUICK, folder=tmp_path / "run", device="cpu")
    assert 0 < run.provenance["learning_seconds"]["generated"] <= run.seconds
    assert open_run(tmp_path / "run").provenance["learning_seconds"] == run.provenance["learning_seconds"]
    assert re.search(r"generated has learned for \d+\.\d s", capsys.readouterr().err)
    assert train(SMALL, progress=False, device="cpu").provenance["learning_seconds"] == {}


def test_arms_of_a_stack_hear_of_it_and_have_the_numbers_they_have_alone():
    recipes = [QUICK.changed(precision="float64", **more) for more in ({}, {"augment": []}, {"seed": 8})]
    told = list(stack := Stack(recipes, device="cpu"))
    assert [index for index, event in told if isinstance(event, Learned)] == [0, 2]
    for recipe, arm in zip(recipes, stack.arms, strict=True):
        alone, _ = trained(recipe)
        np.testing.assert_allclose(arm.history.loss, alone.history.loss, rtol=1e-11)


def test_a_state_of_another_process_goes_on_with_the_same_bits(monkeypatch):
    whole, _ = trained(QUICK)
    session = Training(QUICK, device="cpu")
    next(event for event in session if isinstance(event, Step) and event.step == 3)
    state = session.state()
    monkeypatch.setattr(learning, "_kept", {})  # which knows nothing of what was learned here
    again = Training(QUICK, device="cpu")
    again.restore(state)
    list(again)
    assert same_history(again, whole)
    assert same_weights(again, whole)


# -- copies -----------------------------------------------------------------------------------------------------------


class Copying:
    """A generator that has learned its training pictures by heart, with a little noise for some of its pictures."""

    latent = 1

    def __init__(self, split, share=1.0):
        self.images, self.labels, self.share = split.images.float() / 255, split.labels, share

    def __call__(self, codes, shares):
        places = [(self.labels == label).nonzero()[0, 0] for label in shares.argmax(1)]
        known, new = (
            self.images[torch.stack(places)],
            torch.rand(len(codes), *self.images.shape[1:], generator=stream()),
        )
        return torch.where((torch.arange(len(codes)) < self.share * len(codes))[:, None, None, None], known, new)


def found_of(content=None, recipe=QUICK):
    session = Training(recipe.changed(augment="generated"), device="cpu")
    if content:
        session.lessons = {"generated": Lesson(content(session.train_split), 0.0)}
    return copies(session)


def test_a_generator_that_copies_is_found_out():
    found = found_of(Copying)
    assert found.ratio == 0
    assert found.sentence == (
        "Generated pictures lie 0.00 times as far from their nearest training picture as validation pictures do: "
        "the generator copies."
    )
    assert torch.equal(found.generated, found.nearest)


def test_a_generator_that_copies_now_and_then_is_found_out():
    found = found_of(partial(Copying, share=0.2))
    assert found.ratio > 0.5
    assert found.verdict == "copies in part"
    share, of_validation = found.near
    assert share == pytest.approx(0.2, abs=0.01)
    assert found.sentence.endswith(
        f"the generator copies in part (20% of them and {of_validation:.0%} of the others lie nearer than half as far)."
    )


def test_the_labs_generator_does_not_merely_copy_digits_but_learns_two_of_each_by_heart():
    found = copies(Recipe(augment="generated"), device="cpu")
    assert found.verdict == "does not merely copy"
    assert str(found).endswith("as validation pictures do: the generator does not merely copy.")
    two = Recipe(augment="generated", modify={"name": "subset", "per_class": 2})
    assert copies(two, device="cpu").verdict == "copies"


def test_validation_pictures_lie_once_as_far_as_validation_pictures():
    found = found_of(Copying)
    for label in range(10):
        assert found.validation[found.labels == label].median() == 1


def test_the_nearest_is_sought_in_the_class():
    among, labels = torch.tensor([0.0, 1.0, 0.4]).view(3, 1, 1, 1), torch.tensor([0, 0, 1])
    far, place = nearest_of_class(torch.tensor([0.4, 0.9]).view(2, 1, 1, 1), torch.tensor([0, 1]), among, labels)
    torch.testing.assert_close(far, torch.tensor([0.4, 0.5]))
    assert place.tolist() == [0, 2]


def test_looking_for_copies_changes_no_number_of_the_run():
    session, untouched = Training(QUICK, device="cpu"), Training(QUICK, device="cpu")
    copies(session, count=20)
    list(session), list(untouched)
    assert same_history(session, untouched)


def test_a_recipe_without_generated_pictures_is_answered_in_words():
    with pytest.raises(RecipeError, match=r"^This recipe generates no pictures: add generated to its augment\.$"):
        copies(SMALL, device="cpu")


def test_so_many_pictures_are_compared_as_asked(tmp_path):
    assert len(copies(QUICK, count=7, device="cpu").labels) == 7
    assert len(copies(QUICK, device="cpu").labels) == len(load(QUICK.data).validation)


# -- picture ----------------------------------------------------------------------------------------------------------


def pair(value):
    return torch.full((2, 1, 8, 8), value)


FOUND = Copies(pair(1.0), pair(0.2), torch.tensor([1, 0]), torch.tensor([0.9, 0.5]), torch.ones(2), ("<a>", "b"))


def test_the_figure_shows_each_picture_above_its_nearest_one_the_nearest_pair_first():
    figure = generated_pictures(FOUND)
    sheet = np.asarray(figure.data[0].z)
    assert (sheet[:8, :8, :3] == 255).all()
    assert (sheet[9:17, :8, :3] == 51).all()
    assert [note.text for note in figure.layout.annotations] == ["&lt;a&gt;<br>0.5", "b<br>0.9"]
    assert "0.50 times as far" in figure.layout.title.subtitle.text
    assert len(generated_pictures(FOUND, columns=1).layout.annotations) == 1


def test_the_figure_fits_both_papers():
    light, dark = (generated_pictures(FOUND, dark=dark) for dark in (False, True))
    assert (light.layout.paper_bgcolor, dark.layout.paper_bgcolor) == ("white", "rgba(0,0,0,0)")
    inks = [luminance(figure.layout.annotations[0].font.color) for figure in (light, dark)]
    assert inks[0] < 0.2 < 0.7 < inks[1]


def test_no_column_is_answered_in_words():
    with pytest.raises(ValueError, match=r"^columns is 0, but must be at least 1\.$"):
        generated_pictures(FOUND, columns=0)
