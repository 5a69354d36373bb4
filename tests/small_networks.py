"""Networks of a person's own, for tests to add as options: some that a stack can hold, some that it cannot."""

import math

from torch import nn

# -- what a stack can hold ---------------------------------------------------------------------------------------------


def normed(shape, classes, activation):
    """Batch normalisation, which keeps statistics. Source: this test."""
    first = nn.Linear(math.prod(shape), 8, bias=False)
    return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(8), activation(), nn.Linear(8, classes))


def noisy_normed(shape, classes, activation):
    """Batch normalisation and dropout: a layer with a memory, and one that draws. Source: this test."""
    layers = [nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.BatchNorm1d(16), activation(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(16, classes))


def convolved(shape, classes, activation):
    """Convolutions with statistics and a frozen kernel. Source: this test."""
    first = nn.Conv2d(shape[0], 4, 3, bias=False).requires_grad_(requires_grad=False)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)]
    return nn.Sequential(first, nn.BatchNorm2d(4), activation(), *head)


def half_frozen(shape, classes, activation):
    """A frozen layer, and one without a bias. Source: this test."""
    frozen = nn.Linear(math.prod(shape), 8).requires_grad_(requires_grad=False)
    return nn.Sequential(nn.Flatten(), frozen, activation(), nn.Linear(8, classes, bias=False))


def reused(shape, classes, activation):
    """One activation object in two places. Source: this test."""
    bend = activation()
    layers = [nn.Linear(math.prod(shape), 8), bend, nn.Linear(8, 8), bend, nn.Linear(8, classes)]
    return nn.Sequential(nn.Flatten(), *layers)


def tied(shape, classes, activation):
    """One layer in two places. Source: this test."""
    twice = nn.Linear(8, 8)
    layers = [nn.Linear(math.prod(shape), 8), activation(), twice, activation(), twice, nn.Linear(8, classes)]
    return nn.Sequential(nn.Flatten(), *layers)


def hooked(shape, classes, activation):
    """A layer whose output a hook doubles. Source: this test."""
    first = nn.Linear(math.prod(shape), 8)
    first.register_forward_hook(lambda _, __, output: 2 * output)
    return nn.Sequential(nn.Flatten(), first, activation(), nn.Linear(8, classes))


class Idle(nn.Module):
    def __init__(self, pixels, classes):
        super().__init__()
        self.used, self.unused = nn.Linear(pixels, classes), nn.Linear(3, 3)

    def forward(self, images):
        return self.used(images.flatten(1))


def idle(shape, classes, activation):
    """A layer that has no part in the output: torch never decays it. Source: this test."""
    return Idle(math.prod(shape), classes)


# -- what it cannot ----------------------------------------------------------------------------------------------------


def dropped(shape, classes, activation):
    """Linear layers with dropout. Source: this test."""
    layers = [nn.Linear(math.prod(shape), 16), activation(), nn.Dropout(0.5), nn.Linear(16, classes)]
    return nn.Sequential(nn.Flatten(), *layers)


class Recurrent(nn.Module):
    """The rows of an image, one after the other."""

    def __init__(self, width, classes):
        super().__init__()
        self.memory, self.head = nn.LSTM(width, 4, batch_first=True), nn.Linear(4, classes)

    def forward(self, images):
        return self.head(self.memory(images[:, 0])[0][:, -1])


def recurrent(shape, classes, activation):
    """A network that torch cannot vectorise. Source: this test."""
    return Recurrent(shape[2], classes)


class Attending(nn.Module):
    """The rows of an image look at each other, in torch's one function for it."""

    def __init__(self, width, classes):
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        return self.head(nn.functional.scaled_dot_product_attention(images, images, images).mean((1, 2)))


def attending(shape, classes, activation):
    """A network that torch would take arm by arm, with a warning. Source: this test."""
    return Attending(shape[2], classes)


def averaged(shape, classes, activation):
    """Statistics over all batches, for which torch asks a tensor for its value. Source: this test."""
    first = [nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8, momentum=None), activation()]
    return nn.Sequential(nn.Flatten(), *first, nn.Linear(8, classes))


def layered(shape, classes, activation):
    """A small network that is no chain of matrices. Source: this test."""
    first = [nn.Linear(math.prod(shape), 8), nn.LayerNorm(8), activation()]
    return nn.Sequential(nn.Flatten(), *first, nn.Linear(8, classes))
