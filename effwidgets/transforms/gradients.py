"""Which parameters of a model a gradient reaches, read from the graph of one forward; nothing is kept for a backward.

The graph that autograd builds (`torch.autograd.graph.Node`) names the parameters at its ends, so a walk over it tells
without a backward what the outputs depend on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.profiling.shadow import copy_tree
from effwidgets.transforms.trial import answer, stand_in

__all__ = ["learners", "unreached"]


def learners(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that ask for a gradient, each under its first name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def unreached(model: nn.Module, call: Call) -> dict[str, nn.Parameter]:
    """Return the parameters that ask for a gradient and on which no output of ``model`` depends, by first name.

    Their ``.grad`` is not touched. What the graph does not show (a checkpoint of the old kind runs its backward as a
    forward) is asked of a backward, on a copy.
    """
    asked = learners(model)
    if not asked:
        return {}
    found = _ends_of(_run(model, call))
    left = {name: parameter for name, parameter in asked.items() if id(parameter) not in found}
    sure = _without_gradient(model, call) if left else frozenset()
    return {name: parameter for name, parameter in left.items() if name in sure}


def _run(model: nn.Module, call: Call) -> list[Tensor]:
    twin = stand_in(model)
    try:  # only the graph is looked at, so that activations need not be kept
        with torch.autograd.graph.saved_tensors_hooks(_drop, _gone):
            return _roots(answer(twin, call, gradients=True))
    except Exception:  # noqa: BLE001  a forward that runs a backward of its own asks for them
        return _roots(answer(stand_in(model), call, gradients=True))


def _drop(_tensor: Tensor) -> None:
    return None


def _gone(_nothing: None) -> Tensor:
    message = "the activation was not kept"
    raise RuntimeError(message)


def _roots(output: object) -> list[Tensor]:
    return [tensor for tensor in tensors_in(output) if tensor.requires_grad]


def _ends_of(roots: Iterable[Tensor]) -> set[int]:
    # The ids of the leaves of the graph; an output that is a parameter itself is one.
    ends = {id(tensor) for tensor in roots if tensor.grad_fn is None}
    left = [tensor.grad_fn for tensor in roots if tensor.grad_fn is not None]
    seen = set(left)
    while left:
        node = left.pop()
        variable = getattr(node, "variable", None)
        if variable is not None:
            ends.add(id(variable))
        for further, _ in node.next_functions:
            if further is not None and further not in seen:
                seen.add(further)
                left.append(further)
    return ends


def _without_gradient(model: nn.Module, call: Call) -> frozenset[str]:
    with torch.inference_mode(mode=False), torch.no_grad():
        twin = copy_tree(model, _own).eval()
    held: Mapping[str, nn.Parameter] = learners(twin)
    ends = _roots(answer(twin, call, gradients=True))
    parts = [tensor.double().nan_to_num().sum() for tensor in ends if not tensor.is_complex()]
    if parts:
        with torch.inference_mode(mode=False), torch.enable_grad():  # whatever the caller is inside of
            torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
    return frozenset(name for name, parameter in held.items() if parameter.grad is None)


def _own(tensor: Tensor) -> Tensor:
    twin = tensor.detach().clone()
    return nn.Parameter(twin, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin
