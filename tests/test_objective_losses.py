"""The loss that each objective makes of a batch, against NumPy in float64, and what may not change it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import SMALL

from lab.training import Training

EXACT = SMALL.changed(precision="float64", model={"name": "mlp", "width": 6, "depth": 1})
FIXMATCH = {"name": "fixmatch", "threshold": 0.103, "weight": 2.0, "ratio": 3}  # nothing is learned yet: all near 0.1


def begun(objective, progress=0.0, **changes):
    """A training, and a batch of eight images as its objective sees it after a share of the run."""
    session = Training(EXACT.changed(objective=objective, **changes), device="cpu")
    session.step = round(progress * session.steps)
    images, labels = session.train_split.images[:8], session.train_split.labels[:8]
    return session, session.objective.batch(*session.prepare_batch(images, labels), session.moment(images))


def loss_of(session, batch):
    return session.objective.loss(session.model, batch)[0].item()


def layer(linear, inputs):
    return inputs @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()


def features(trunk, images):
    return np.maximum(layer(trunk[1], images.flatten(1).numpy()), 0)


def log_shares(model, images):
    logits = layer(model[3], features(model, images))
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def error(model, images, labels):
    return -log_shares(model, images)[np.arange(len(images)), labels]


# -- few labels -----------------------------------------------------------------------------------------------


def test_fixmatch_asks_the_hard_views_what_it_is_sure_of_in_the_weak_ones():
    session, batch = begun(FIXMATCH)
    images, labels, weak, strong = batch
    teacher = log_shares(session.model, weak)
    sure = np.exp(teacher.max(1)) >= FIXMATCH["threshold"]
    asked = error(session.model, strong, teacher.argmax(1))
    expected = error(session.model, images, labels).mean() + 2.0 * (asked * sure).mean()
    assert 0 < sure.sum() < len(weak) == 24
    assert loss_of(session, batch) == pytest.approx(expected, rel=1e-10)


def test_fixmatch_draws_images_once_and_looks_at_them_as_the_recipe_says_and_harder():
    session, (_, _, weak, strong) = begun(FIXMATCH)
    moment = session.moment(session.train_split.images[:8])
    assert torch.equal(weak, session.prepare(session.objective.drawn(8, session.moment(None).draws)))
    assert (strong != weak).flatten(1).any(1).double().mean() > 0.9
    told = replace(moment, view=lambda images, hard: images.double() + hard)
    _, _, plain, hard = session.objective.batch(weak[:8], torch.zeros(8), told)
    assert torch.equal(hard, plain + 1)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.2, 0.0), (0.5, 0.5), (0.9, 1.0)])
def test_pseudo_labels_count_the_more_the_later_it_is(progress, share):
    rising = {"name": "pseudo_labels", "weight": 2.0, "start": 0.25, "end": 0.75, "ratio": 3}
    session, batch = begun(rising, progress, epochs=20)
    images, labels, others, _ = batch
    own = error(session.model, others, log_shares(session.model, others).argmax(1)).mean()
    share = (session.step / session.steps - 0.25) / 0.5 if share == 0.5 else share
    expected = error(session.model, images, labels).mean() + 2.0 * share * own
    assert loss_of(session, batch) == pytest.approx(expected, rel=1e-6)


# -- without labels -------------------------------------------------------------------------------------------


def guessed(session, images, mask):
    """What the masked autoencoder makes of the patches that it sees."""
    seen = features(session.model.trunk, images * (1 - mask))
    return layer(session.model.decoder, seen).reshape(images.shape)


def test_the_masked_autoencoder_guesses_from_what_is_left():
    session, batch = begun("masked_autoencoder")
    images, _, mask = batch
    hidden = mask.expand_as(images).numpy() == 1
    errors = (guessed(session, images, mask) - images.numpy()) ** 2
    assert loss_of(session, batch) == pytest.approx(errors[hidden].mean(), rel=1e-10)


def test_what_is_hidden_from_the_masked_autoencoder_is_only_what_it_is_judged_by():
    session, (images, labels, mask) = begun("masked_autoencoder")
    other = images + mask * torch.randn(images.shape, generator=torch.Generator().manual_seed(1)).double()
    hidden = mask.expand_as(images).numpy() == 1
    errors = (guessed(session, images, mask) - other.numpy()) ** 2  # the same guesses
    assert loss_of(session, (other, labels, mask)) == pytest.approx(errors[hidden].mean(), rel=1e-10)


@pytest.mark.parametrize("augment", [[], ["crop"]])
def test_simclr_has_both_views_of_an_image_for_partners(augment):
    session, batch = begun(
        {"name": "simclr", "temperature": 0.3, "width": 5},
        augment=augment,
        model={"name": "mlp", "width": 20, "depth": 1},
    )
    read = np.concatenate([features(session.model.trunk, batch[view]) for view in (0, 2)])
    first, last = (session.model.projection[place] for place in (0, 2))
    places = layer(last, np.maximum(layer(first, read), 0))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    scores = places @ places.T / 0.3
    np.fill_diagonal(scores, -np.inf)
    partners = [scores[i, (i + 8) % 16] - np.log(np.exp(scores[i]).sum()) for i in range(16)]
    assert loss_of(session, batch) == pytest.approx(-np.mean(partners), rel=1e-10)
