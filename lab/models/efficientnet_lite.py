"""EfficientNet-Lite0: a network for small devices whose ImageNet weights come as a package."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.models.catalogue import Activation, Dropout, Shape, dropped, models
from lab.models.norms import BatchNorm

STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM = 32  # channels
HEAD = 1280

Pixels = Annotated[
    int,
    Field(ge=0, le=1024, description="height and width that images are scaled to first; 0 leaves them as they are"),
    Knob(0, 224),
]


@models.add
def efficientnet_lite0(
    shape: Shape,
    classes: int,
    activation: Activation,  # noqa: ARG001  # it brings its own
    *,
    pixels: Pixels = 0,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """EfficientNet-Lite0: inverted bottlenecks with ReLU6, 3.4 million weights outside its last layer.

    conv 3 x 3 stride 2 -> 16 blocks (1 x 1 to more channels -> one kernel a channel -> 1 x 1 to fewer, + x where the
    shape stays) -> 1 x 1 to 1280 channels -> mean over places -> dropout (0.2 in the paper) -> linear
    Kernels with stride 2 pad as TensorFlow does: what is odd goes to the right and below. Without EfficientNet's
    squeeze-and-excitation, and without drop connect. Made for 224 x 224 pixels; pixels = 64 does for small pictures.

    Source: Tan & Le 2019, arXiv 1905.11946; the lite variant: TensorFlow's TPU models, efficientnet/lite.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if pixels:
        layers["resize"] = Resize(pixels)
    layers |= {"stem_padding": SamePadding(3, 2), "stem": unit(shape[0], STEM, kernel=3, stride=2)}
    layers["blocks"] = nn.Sequential(*blocks())
    layers["head"] = unit(STAGES[-1][3], HEAD)
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    layers["dropout"] = nn.Sequential(*dropped(dropout))
    layers["classifier"] = nn.Linear(HEAD, classes)
    return nn.Sequential(layers)


def blocks() -> list[nn.Module]:
    """The 16 inverted bottlenecks; the first of a stage changes channels and size."""
    found: list[nn.Module] = []
    inputs = STEM
    for kernel, stride, expansion, outputs, count in STAGES:
        for number in range(count):
            found.append(Bottleneck(inputs, outputs, kernel, 1 if number else stride, expansion))
            inputs = outputs
    return found


def unit(
    inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
) -> nn.Module:
    """Convolution -> batch norm -> ReLU6, or without the last; one with a stride of 2 finds its padding done."""
    from torchvision.ops import Conv2dNormActivation  # noqa: PLC0415  # slow to import, and few recipes need it

    return Conv2dNormActivation(
        inputs,
        outputs,
        kernel,
        stride,
        padding=0 if stride > 1 else None,
        groups=groups,
        norm_layer=partial(BatchNorm, eps=0.001, momentum=0.01),
        activation_layer=None if linear else nn.ReLU6,
    )


class Bottleneck(nn.Module):
    """To more channels, one kernel for each, back to fewer; with a way around where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = unit(inputs, wide) if expansion > 1 else nn.Identity()
        self.padding = SamePadding(kernel, stride) if stride > 1 else nn.Identity()
        self.depthwise = unit(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = unit(wide, outputs, linear=True)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride), rounded up."""
        changed = self.project(self.depthwise(self.padding(self.expand(images))))
        return images + changed if self.skips else changed


class SamePadding(nn.Module):
    """Zeros around an image so that ceil(size / stride) places come out; an odd one goes to the right and below."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h + missing, w + missing)."""
        down, across = (self.missing(size) for size in images.shape[-2:])
        return functional.pad(images, [across // 2, across - across // 2, down // 2, down - down // 2])

    def missing(self, size: int) -> int:
        places = -(-size // self.stride)
        return max(0, (places - 1) * self.stride + self.kernel - size)


class Resize(nn.Module):
    """Scales images to a square of so many pixels."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, pixels, pixels)."""
        return functional.interpolate(images, size=(self.pixels, self.pixels), mode="bilinear", antialias=True)
