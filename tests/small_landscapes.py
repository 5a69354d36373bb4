"""Small trainings with their planes, and the plain float64 loop that every surface is held against."""

from copy import deepcopy

import torch
from small_runs import SMALL, small_model, trained
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from lab.landscape import Trail, hessian, joint_plane, line, path_plane, random_plane, samples_of, through
from lab.landscape import trained as trained_weights
from lab.landscape.directions import draw as draw_like
from lab.landscape.weights import flat

KINDS = ("random", "path", "joint", "points", "hessian", "line")


def session_of(model, **changes):
    """A model of a few thousand weights, after an epoch."""
    return trained(SMALL.changed(model=model, epochs=1, optimizer="adam", **changes))[0]


def snapshots(session, count=6, seed=0):
    """Points around the network, further away each time."""
    weights = trained_weights(session.model)
    for number in range(count):
        away = draw_like(weights, torch.Generator().manual_seed(100 * seed + number))
        yield {name: tensor + 0.02 * number * away[name] for name, tensor in weights.items()}


def trail_of(session, seed=0):
    first, *others = snapshots(session, seed=seed)
    trail = Trail(first)
    for step, weights in enumerate(others):
        trail.add(weights, step + 1)
    return trail


def plane_of(kind, session):
    centre = trained_weights(session.model)
    if kind == "random":
        return random_plane(centre, seed=3)
    if kind == "path":
        return path_plane(trail_of(session))
    if kind == "joint":
        return joint_plane([trail_of(session), trail_of(session, seed=1)])
    away = [draw_like(centre, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    others = [{name: centre[name] + 0.05 * each[name] for name in centre} for each in away]
    if kind == "hessian":
        return hessian(centre, away)
    return through(centre, *others) if kind == "points" else line(centre, others[0])


def reference(session, plane, points, batchnorm="stored", batch_size=None, **which):
    """Loss and accuracy at each point, by setting weights and looping over batches in float64."""
    samples = samples_of(session, **which)
    model = deepcopy(session.model).double().eval()
    for layer in model.modules():
        if batchnorm == "batch" and isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train()
    size = batch_size or len(samples)
    count = len(samples) // size * size
    images, labels = samples.batch(slice(0, count), torch.float64), samples.labels[:count]
    return [value_at(model, plane, place, images, labels, size) for place in points]


@torch.no_grad()
def value_at(model, plane, place, images, labels, size):
    weights = {
        name: sum(
            (length * direction[name].double() for length, direction in zip(place, plane.directions, strict=False)),
            centre.double(),
        )
        for name, centre in plane.centre.items()
    }
    logits = torch.cat([functional_call(deepcopy(model), weights, (part,)) for part in images.split(size)])
    return float(functional.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).double().mean())


def mean_loss(session, samples, label_smoothing=0.0):
    """(p,) -> the mean loss, in float64, written without the lab's evaluation."""
    model = deepcopy(session.model).double().eval()
    like, whole = trained_weights(model), slice(0, len(samples))
    images, labels = samples.batch(whole, torch.float64), samples.labels
    constants = dict(model.named_buffers())

    def loss(vector):
        with sdpa_kernel(SDPBackend.MATH):
            logits = functional_call(model, constants | shaped_with_graph(vector, like), (images,))
        return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    return loss, flat(like)


def shaped_with_graph(vector, like):
    parts = vector.split([tensor.numel() for tensor in like.values()])
    return {name: part.view(tensor.shape) for (name, tensor), part in zip(like.items(), parts, strict=True)}


MODELS = {
    **{
        f"{name}, {norm}": {**small_model(name), "norm": norm}
        for name in ("mlp", "cnn", "resnet", "densenet")
        for norm in ("nothing", "batch", "layer", "group")
    },
    **{name: small_model(name) for name in ("rnn", "lstm", "gru", "transformer", "torchvision")},
    "gru, rms": {**small_model("gru"), "norm": "rms"},
    "transformer, normed after": {**small_model("transformer"), "norm": "rms", "norm_place": "after"},
    "cnn, average pool": {**small_model("cnn"), "pool": "average", "norm": "batch"},
    "cnn, own kernels": {**small_model("cnn"), "shared": False},
    "cnn, dropout": {**small_model("cnn"), "dropout": 0.5},
    "resnet, dropout": {**small_model("resnet"), "dropout": 0.5},
}
