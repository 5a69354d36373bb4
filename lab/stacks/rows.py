"""Many optimizers as one: the parameters of the arms are the rows of a matrix, their settings a column beside it.

torch.optim takes one learning rate for all it steps; here each row has its own, and SGD, momentum, Nesterov,
RMSprop, Adam and AdamW differ only in coefficients. Every other optimizer steps its own row through torch.optim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Optimizer = torch.optim.Optimizer


@dataclass(frozen=True)
class Rule:
    """One arm's optimizer as coefficients; betas as in Adam, `bias` whether moments are corrected for their start.

    plain:     m <- beta1 m + g ;  theta <- theta - lr m              (Nesterov: theta - lr (g + beta1 m))
    adaptive:  m <- beta1 m + (1 - beta1) g ;  v <- beta2 v + (1 - beta2) g^2 ;
               theta <- theta - lr m^ / (sqrt(v^) + eps)
    """

    slots: tuple[str, ...]  # torch's names for m and v; "" where this optimizer keeps none
    beta1: float
    nesterov: bool = False
    adaptive: bool = False
    beta2: float = 0.0
    eps: float = 0.0
    bias: bool = False
    decoupled: bool = False  # weight decay beside the gradient (AdamW), not in it


def rule_of(optimizer: Optimizer) -> Rule | None:
    """The coefficients of a torch optimizer; None when it is of another kind and has to step by itself."""
    settings, *others = (_settings(group) for group in optimizer.param_groups)
    if any(other != settings for other in others) or settings.get("maximize") or settings.get("capturable"):
        return None
    if type(optimizer) is torch.optim.SGD and not settings["dampening"]:
        momentum = settings["momentum"]
        return Rule(("momentum_buffer" if momentum else "", ""), momentum, nesterov=settings["nesterov"])
    if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and not settings["amsgrad"]:
        beta1, beta2 = settings["betas"]
        decoupled = settings["decoupled_weight_decay"]
        slots = ("exp_avg", "exp_avg_sq")
        moments = {"beta1": beta1, "beta2": beta2, "eps": settings["eps"]}
        return Rule(slots, **moments, adaptive=True, bias=True, decoupled=decoupled)
    if type(optimizer) is torch.optim.RMSprop and not settings["centered"] and not settings["momentum"]:
        return Rule(("", "square_avg"), 0.0, adaptive=True, beta2=settings["alpha"], eps=settings["eps"])
    return None


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    of_each_group = ("params", "weight_decay", "initial_lr", "scale", "hidden")
    return {key: value for key, value in group.items() if key not in of_each_group}


class Rows:
    """The optimizer of a stack: K arms, P parameters each, in the order plain, adaptive, all others.

    Args:
        values: (K, P) parameters; changed in place.
        optimizers: of each row, over tensors that are views of it; their state is taken over, and lies from
            then on in views of this object's matrices: after `tell` torch's own `state_dict` is true.
        clip_norms: (K,) largest gradient norm of each row, 0 for none.
    """

    def __init__(self, values: Tensor, optimizers: Sequence[Optimizer], clip_norms: Sequence[float]) -> None:
        self.values, self.optimizers = values, optimizers
        self.rules = [rule_of(optimizer) for optimizer in optimizers]
        self.plain = sum(rule is not None and not rule.adaptive for rule in self.rules)
        self.ruled = sum(rule is not None for rule in self.rules)
        if [kind_order(optimizer) for optimizer in optimizers] != sorted(map(kind_order, optimizers)):
            raise ValueError("Rows must come in the order plain, adaptive, others.")
        self.clip_norms = self._column(clip_norms) if any(clip_norms) else None
        self._coefficients()
        self.decay = self._decay_matrix()
        self.scale = self._scale_matrix()
        self.first = torch.zeros_like(values[: self.ruled])
        self.second = torch.zeros_like(values[self.plain : self.ruled])
        self.steps = [self._take_over(row) for row in range(self.ruled)]
        self._gone: set[int] = set()

    def _column(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=self.values.dtype, device=self.values.device).view(-1, 1)

    def _coefficients(self) -> None:
        rules = [rule for rule in self.rules if rule is not None]
        plain, adaptive = rules[: self.plain], rules[self.plain :]
        self.momentum = self._column([rule.beta1 for rule in plain])
        self.ahead = self._column([float(rule.nesterov) for rule in plain])
        self.any_ahead = any(rule.nesterov for rule in plain)
        self.gain = self._column([1 - rule.beta1 for rule in adaptive])
        self.beta2 = self._column([rule.beta2 for rule in adaptive])
        self.gain2 = self._column([1 - rule.beta2 for rule in adaptive])

    def _decay_matrix(self) -> tuple[Tensor | None, Tensor | None]:
        """(K, P) weight decay in the gradient and beside it; None where there is none."""
        inside, beside = torch.zeros_like(self.values), torch.zeros_like(self.values)
        for row, rule in enumerate(self.rules):
            if rule is not None:
                matrix = beside if rule.decoupled else inside
                for group in self.optimizers[row].param_groups:
                    for parameter in group["params"]:
                        self._part(matrix[row], row, parameter).fill_(group["weight_decay"])
        return tuple(matrix if matrix.any() else None for matrix in (inside, beside))  # pyright: ignore[reportReturnType]

    def _scale_matrix(self) -> Tensor | None:
        """(K, P) what each parameter's rate is of its arm's, in a recipe with a rate per depth; None: all alike."""
        matrix = torch.ones_like(self.values)
        for row in range(self.ruled):
            for group in self.optimizers[row].param_groups:
                for parameter in group["params"]:
                    self._part(matrix[row], row, parameter).fill_(group.get("scale", 1.0))
        return None if matrix.eq(1).all() else matrix

    def _part(self, vector: Tensor, row: int, parameter: Tensor) -> Tensor:
        """Where in a vector (P,) a parameter lies, as it does in its row of the values."""
        start = parameter.storage_offset() - self.values[row].storage_offset()
        return vector[start : start + parameter.numel()].view(parameter.shape)

    def _take_over(self, row: int) -> int:
        """Move an optimizer's state into the matrices, and give it views of them. Returns its step."""
        optimizer, rule, step = self.optimizers[row], self.rules[row], 0
        assert rule is not None
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                old = dict(optimizer.state[parameter])
                step = int(old["step"]) if "step" in old else 0
                new = optimizer.state[parameter] = {}
                if rule.adaptive:
                    new["step"] = torch.tensor(float(step))
                for slot, vector in self._slots(rule, row):
                    new[slot] = self._part(vector, row, parameter)
                    if isinstance(old.get(slot), Tensor):
                        new[slot].copy_(old[slot])
        return step

    def _slots(self, rule: Rule, row: int) -> list[tuple[str, Tensor]]:
        """torch's names for a row's moments, and where they lie: (P,) each."""
        first, second = rule.slots
        slots = [(first, self.first[row])] if first else []
        return slots + ([(second, self.second[row - self.plain])] if second else [])

    @torch.no_grad()
    def step(self, gradients: Tensor, rates: Tensor) -> None:
        """One update of every row.

        Args:
            gradients: (K, P); changed in place.
            rates: (K, 1) learning rates of this step; those of other optimizers stand in their own groups.
        """
        self._clip(gradients)
        if self.scale is not None:
            rates = rates * self.scale
        if self.decay[0] is not None:
            gradients.addcmul_(self.values, self.decay[0])
        if self.decay[1] is not None:
            self.values.addcmul_(self.values * self.decay[1], -rates)
        if self.plain:
            self._step_plain(gradients[: self.plain], rates[: self.plain])
        if self.ruled > self.plain:
            self._step_adaptive(gradients[self.plain : self.ruled], rates[self.plain : self.ruled])
        for row in set(range(self.ruled, len(self.rules))) - self._gone:
            self._step_alone(row, gradients)

    def drop(self, row: int) -> None:
        """An arm left: its optimizer is its own again, though its row stays."""
        self._gone.add(row)

    def spare(self, used: Tensor) -> None:
        """(K, P) 0 where a parameter has no part in the loss: torch.optim never decays those."""
        self.decay = tuple(None if matrix is None else matrix * used for matrix in self.decay)  # pyright: ignore[reportAttributeAccessIssue]

    def _clip(self, gradients: Tensor) -> None:
        if self.clip_norms is not None:
            scale = (self.clip_norms / (gradients.norm(dim=1, keepdim=True) + 1e-6)).clamp_(max=1)
            gradients.mul_(torch.where(self.clip_norms > 0, scale, 1))

    def _step_plain(self, gradients: Tensor, rates: Tensor) -> None:
        values, first = self.values[: self.plain], self.first[: self.plain]
        torch.addcmul(gradients, first, self.momentum, out=first)
        ahead = torch.where(self.ahead > 0, gradients + self.momentum * first, first) if self.any_ahead else first
        values.addcmul_(ahead, -rates)

    def _step_adaptive(self, gradients: Tensor, rates: Tensor) -> None:
        values, first = self.values[self.plain : self.ruled], self.first[self.plain :]
        first.lerp_(gradients, self.gain)
        self.second.mul_(self.beta2).addcmul_(gradients * self.gain2, gradients)
        scale, eps = self._corrected(rates)
        values.addcdiv_(first * scale, self.second.sqrt().add_(eps))

    def _corrected(self, rates: Tensor) -> tuple[Tensor, Tensor]:
        """Rates (K, 1) or (K, P), and eps (K, 1), with the corrections of both moments in them."""
        corrections = []
        for row in range(self.plain, self.ruled):
            rule = self.rules[row]
            assert rule is not None
            self.steps[row] += 1
            first, second = (
                (1 - rule.beta1 ** self.steps[row], 1 - rule.beta2 ** self.steps[row]) if rule.bias else (1, 1)
            )
            corrections.append((-(second**0.5) / first, rule.eps * second**0.5))
        scale, eps = torch.tensor(corrections, dtype=rates.dtype, device=rates.device).unbind(1)
        return rates * scale.view(-1, 1), eps.view(-1, 1)

    def _step_alone(self, row: int, gradients: Tensor) -> None:
        for group in self.optimizers[row].param_groups:
            for parameter in group["params"]:
                parameter.grad = self._part(gradients[row], row, parameter)
        self.optimizers[row].step()

    def tell(self, row: int) -> None:
        """Bring what is kept of a row as plain numbers (Adam's step) into torch's own state."""
        if self.plain <= row < self.ruled and row not in self._gone:
            for slots in self.optimizers[row].state.values():
                slots["step"].fill_(self.steps[row])


def kind_order(optimizer: Optimizer) -> int:
    """Where an arm stands in a stack: plain rules first, then adaptive ones, then all others."""
    rule = rule_of(optimizer)
    return 2 if rule is None else int(rule.adaptive)
