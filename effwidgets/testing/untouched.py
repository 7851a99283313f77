"""Everything of a model that a caller could miss if it changed, as a value that can be compared."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["State", "state_of"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """A model and the random state at one moment; holds copies of all tensors."""

    tensors: dict[str, tuple[int, int, torch.Tensor]]
    gradients: dict[str, torch.Tensor | None]
    trainable: dict[str, bool]
    modules: dict[str, tuple[int, type, bool, tuple[tuple[int, ...], ...]]]
    random: tuple[torch.Tensor, object]

    def differences(self, later: State) -> list[str]:
        """Say what of this is otherwise in ``later``; empty where nothing is."""
        found = [
            f"{name} is another module, class, mode or has other hooks" for name in _odd(self.modules, later.modules)
        ]
        found += [f"requires_grad of {name}" for name in _odd(self.trainable, later.trainable)]
        if set(self.tensors) != set(later.tensors):
            found.append(f"the tensors {sorted(set(self.tensors) ^ set(later.tensors))}")
        for name in set(self.tensors) & set(later.tensors):
            one, version, value = self.tensors[name]
            other, other_version, other_value = later.tensors[name]
            if one != other or version != other_version or not _same(value, other_value):
                found.append(f"{name} was replaced or written into")
        for name, gradient in self.gradients.items():
            if not _same(gradient, later.gradients.get(name)):
                found.append(f"the gradient of {name}")
        if not _same(self.random[0], later.random[0]) or self.random[1] != later.random[1]:
            found.append("the random state")
        return found


def state_of(model: nn.Module) -> State:
    """Take the state of ``model`` and of the random generators."""
    held = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return State(
        tensors={name: (id(tensor), tensor._version, tensor.detach().clone()) for name, tensor in held},  # noqa: SLF001
        gradients={name: None if p.grad is None else p.grad.detach().clone() for name, p in parameters.items()},
        trainable={name: parameter.requires_grad for name, parameter in parameters.items()},
        modules={
            name: (id(module), type(module), module.training, _hooks(module))
            for name, module in model.named_modules(remove_duplicate=False)
        },
        random=(torch.get_rng_state(), random.getstate()),
    )


def _hooks(module: nn.Module) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(id(hook) for hook in getattr(module, kind).values()) for kind in _HOOKS)


def _odd(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [name or "the model" for name in {**before, **after} if before.get(name) != after.get(name)]


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.is_meta or other.is_meta:  # no bits to compare
        return one.is_meta and other.is_meta and one.shape == other.shape
    # Not a number equals itself here: what matters is whether the bits changed.
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124
