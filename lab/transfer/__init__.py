"""Catalogues `sources` (which weights) and `transfers` (what is copied, frozen, trained)."""

from __future__ import annotations

from torch import Tensor, nn

from lab.catalogue import Catalogue

sources = Catalogue("source", gives="weights by name")
transfers = Catalogue("transfer", gives="a torch.nn.Module")

Weights = dict[str, Tensor]


@sources.add
def nothing() -> Weights:
    """No pretrained weights: the initialisation alone decides where training starts.

    weights = {}

    Source: the baseline of every transfer study, e.g. Yosinski et al. 2014, arXiv 1411.1792.
    """
    return {}


@transfers.add
def scratch(model: nn.Module, weights: Weights) -> nn.Module:
    """Train every layer from its initialisation; nothing is copied and nothing is frozen.

    theta_0 = initialisation ;  every parameter is trained

    Source: the baseline of every transfer study, e.g. Yosinski et al. 2014, arXiv 1411.1792.
    """
    return model
