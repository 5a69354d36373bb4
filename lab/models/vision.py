"""The classification networks of torchvision, by their names there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from lab.models.catalogue import Activation, Shape, models
from lab.models.norms import BatchNorm

OWN_ACTIVATION = ("torchvision", "efficientnet_lite0")  # models that do not use the recipe's activation
SMALL_STEMS = ("resnet", "resnext", "wide_resnet", "densenet", "mobilenet")  # beginnings of names
AUXILIARY = ("googlenet", "inception_v3")  # with further outputs in training, unless told not to

# Written down, not asked for: importing torchvision's networks takes as long as importing torch. A test compares.
# fmt: off
Name = Literal[
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
    "alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
    "densenet121", "densenet161", "densenet169", "densenet201", "googlenet", "inception_v3",
    "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "squeezenet1_0", "squeezenet1_1",
    "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
    "regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf", "regnet_x_16gf",
    "regnet_x_32gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_8gf",
    "regnet_y_16gf", "regnet_y_32gf", "regnet_y_128gf",
    "convnext_tiny", "convnext_small", "convnext_base", "convnext_large",
    "vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14", "maxvit_t",
    "swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b",
]
# fmt: on
Network = Annotated[Name, Field(description="its name in torchvision")]
SmallStem = Annotated[
    bool, Field(description="for images under 64 pixels: the first convolution keeps the size, no pool follows it")
]


@models.add(
    rules={
        f"small_stem is for networks whose names begin with {', '.join(SMALL_STEMS)}: set it to false.": (
            lambda choice: not choice.small_stem or choice.network.startswith(SMALL_STEMS)
        )
    }
)
def torchvision(
    shape: Shape,
    classes: int,
    activation: Activation,  # noqa: ARG001  # these networks bring their own
    *,
    network: Network = "resnet18",
    small_stem: SmallStem = False,
) -> nn.Module:
    """A known network from torchvision, such as ResNet-18, with its own activations.

    (n, c, h, w) -> (n, classes): the last layer has as many outputs as there are classes, the first one reads as many
    channels as the images have; everything else is torchvision's. The recipe's activation is not used. The recipe's
    initialiser fills linear and convolutional layers. Most of these networks are made for 224 x 224 pixels; small_stem
    turns the first convolution into one of 3 x 3 pixels (mobilenets: keeps it) with stride 1, without the pool.

    Raises:
        ValueError: the images are too small for the network, or not of its size.

    Source: torchvision.models; small_stem: He et al. 2016, arXiv 1512.03385, section 4.2.
    """
    from torchvision.models import get_model  # noqa: PLC0415  # slow to import, and few recipes need it

    auxiliary = {"aux_logits": False, "init_weights": False} if network in AUXILIARY else {}
    model: nn.Module = get_model(network, weights=None, num_classes=classes, **auxiliary)
    if shape[0] != 3:
        change_first(model, channels=shape[0])
    if small_stem:
        shrink_stem(model)
    allow_single_numbers(model)
    check_size(model, network, shape)
    return model


def place_of(model: nn.Module, kind: type[nn.Module]) -> tuple[nn.Module, str]:
    """The module that holds the first layer of a kind, and its name there."""
    path = next(path for path, layer in model.named_modules() if isinstance(layer, kind))
    parent, _, name = path.rpartition(".")
    return model.get_submodule(parent), name


def change_first(model: nn.Module, **changes: Any) -> None:
    """Replace the first convolution by one that differs in its channels, kernel or stride."""
    parent, name = place_of(model, nn.Conv2d)
    old = parent.get_submodule(name)
    assert isinstance(old, nn.Conv2d)
    kernel = changes.get("kernel", old.kernel_size[0])
    new = nn.Conv2d(
        changes.get("channels", old.in_channels),
        old.out_channels,
        kernel,
        stride=changes.get("stride", old.stride[0]),
        padding=kernel // 2 if "kernel" in changes else old.padding[0],
        bias=old.bias is not None,
    )
    parent.add_module(name, new)


def shrink_stem(model: nn.Module) -> None:
    """The first convolution with stride 1 and at most 3 x 3 pixels, and nothing in place of the pool behind it."""
    change_first(model, kernel=3, stride=1)
    if any(isinstance(layer, nn.MaxPool2d) for layer in model.modules()):
        parent, name = place_of(model, nn.MaxPool2d)
        parent.add_module(name, nn.Identity())


def allow_single_numbers(model: nn.Module) -> None:
    """Batch norms that take a last batch of one image where that is down to one pixel."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.BatchNorm2d:
                parent.add_module(name, BatchNorm(layer.num_features, layer.eps, layer.momentum))


@torch.no_grad()
def check_size(model: nn.Module, network: str, shape: Shape) -> None:
    """Raise ValueError where the network cannot read images of this size."""
    try:
        model.eval()(torch.zeros(1, *shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        size = f"{shape[1]} x {shape[2]} pixels"
        raise ValueError(
            f"torchvision's {network} cannot read images of {size} ({error}). "
            "Choose another network, such as resnet18, or a data set with larger images."
        ) from None
    finally:
        model.train()
