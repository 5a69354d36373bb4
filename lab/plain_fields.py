"""The fields of a recipe that are no choice from a catalogue: what is valid and usual, a sentence, formula and source.

Their defaults stand in the recipe.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lab.catalogue import Doc, Knob

Warmup = Annotated[
    float,
    Field(ge=0, lt=1, description="fraction of the run in which the rate rises from 0"),
    Knob(0, 0.5),
    Doc("""The learning rate rises in a straight line from 0 to where the schedule begins.

    rate = lr factor(0) progress / warmup        while progress < warmup

    The schedule then has what is left between warm-up and cool-down.

    Source: Goyal et al. 2017, arXiv 1706.02677, section 2.2.
    """),
]
Cooldown = Annotated[
    float,
    Field(ge=0, lt=1, description="fraction of the run in which the rate falls to 0 at the end"),
    Knob(0, 0.4),
    Doc("""The learning rate falls in a straight line to 0 from where the schedule has ended.

    rate = lr factor(1) (1 - progress) / cooldown        while progress > 1 - cooldown

    Source: Hagele et al. 2024, arXiv 2405.18392.
    """),
]
DepthDecay = Annotated[
    float,
    Field(gt=0, le=1, description="rate of a layer as a share of the next one's; 1: all alike"),
    Knob(0.3, 1),
    Doc("""A learning rate per depth (discriminative rates): the nearer to the input, the smaller the steps.

    rate = lr depth_decay^(layers above)

    Source: Howard & Ruder 2018, arXiv 1801.06146, section 3.2, where depth_decay = 1 / 2.6.
    """),
]
Epochs = Annotated[
    int,
    Field(ge=1, le=1_000_000, description="passes over the training split"),
    Knob(1, 200, log=True),
    Doc("""How often each training image is used: one pass over all of them is an epoch.

    steps = epochs ceil(images / batch_size)

    Each epoch has its own order of the images.

    Source: torch.utils.data.DataLoader, shuffle=True.
    """),
]
BatchSize = Annotated[
    int,
    Field(ge=1, le=1_000_000, description="images per update; batch_gd and stochastic_gd set their own"),
    Knob(1, 1024, log=True),
    Doc("""How many images give the gradient of one update.

    g = 1/b sum over a batch of b images of the gradient of each one's loss

    The last batch of an epoch has what is left.

    Source: Bottou, Curtis & Nocedal 2018, arXiv 1606.04838.
    """),
]
LabelSmoothing = Annotated[
    float,
    Field(ge=0, lt=1, description="share of each label given to all classes"),
    Knob(0, 0.3),
    Doc("""The label of a training image is not quite certain: a share of it is spread over all classes.

    loss = -sum over k of ((1 - s) [k = label] + s / classes) log p_k

    Validation and test are measured with the labels as they are.

    Source: Szegedy et al. 2016, arXiv 1512.00567, section 7; torch.nn.functional.cross_entropy.
    """),
]
ClipNorm = Annotated[
    float,
    Field(ge=0, description="largest gradient norm; 0 does not clip"),
    Knob(0, 10, zero="off"),
    Doc("""A gradient that is too long is shortened; its direction stays.

    g <- g min(1, clip_norm / ||g||)        over all weights together

    Source: Pascanu et al. 2013, arXiv 1211.5063, algorithm 1; torch.nn.utils.clip_grad_norm_.
    """),
]
Patience = Annotated[
    int,
    Field(
        ge=0,
        le=1_000_000,
        description="stop after so many epochs without a lower validation loss, as it stands; 0: never",
    ),
    Knob(0, 20, zero="never"),
    Doc("""Early stopping: the run ends when the validation loss has not fallen for so many epochs.

    stop when min(last `patience` losses) >= min(all losses before them)

    The run keeps the weights that it ends with, and says which epoch was the best.

    Source: Goodfellow, Bengio & Courville 2016, Deep Learning, algorithm 7.1; there the best weights are taken.
    """),
]
Precision = Annotated[
    Literal["float32", "bfloat16", "float64"],
    Field(description="arithmetic: bfloat16 is mixed precision (autocast)"),
    Doc("""The arithmetic in which the network is computed.

    float32, float64: everything; significant bits 24, 53
    bfloat16: products of matrices and convolutions, 8 significant bits; weights and updates stay float32

    bfloat16 halves what is kept for the way back. It is faster where the processor has instructions for it, as GPUs do;
    a CPU without them took 12 times as long.

    Source: Micikevicius et al. 2018, arXiv 1710.03740; Kalamkar et al. 2019, arXiv 1905.12322; torch.autocast.
    """),
]
Seed = Annotated[
    int,
    Field(ge=0, lt=2**30, description="start of every random stream"),
    Knob(0, 100),
    Doc("""Where the random numbers begin: equal recipes with equal seeds give equal numbers.

    Weights, order of the batches, augmentations and the rest have a stream each, so that a change of one leaves
    the draws of the others as they are.

    Source: torch.Generator.
    """),
]
