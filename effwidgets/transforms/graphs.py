"""Modules that torch.nn has no class for, written as graphs: they carry their own code and need nothing of ours."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import torch
from torch import fx, nn

__all__ = ["graph_of"]


class _Child:
    """Stands for a child of a template while its forward is written down."""

    def __init__(self, tracer: fx.proxy.TracerBase, name: str) -> None:
        self._tracer = tracer
        self._name = name

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Write the call down."""
        return self._tracer.create_proxy("call_module", self._name, args, kwargs)


def graph_of(template: nn.Module, name: str) -> nn.Module:
    """Return ``template`` as a `torch.fx.GraphModule` of class ``name``, with its children, parameters and buffers.

    The forward of ``template`` may use torch, call its own children, and use its parameters and buffers, without
    branches on values. What is returned can be copied, pickled and run where effwidgets is not installed. Let each
    operation have an input or a parameter among its operands: torch computes one on buffers alone when it reads the
    pickle, and keeps that.

    >>> double = graph_of(nn.Sequential(nn.Linear(2, 2)), "Wrapped")
    >>> type(double).__name__
    'Wrapped'
    """
    graph = _written(template)
    made = fx.GraphModule(template, graph, class_name=name)
    _keep_name(made, name)
    return made.train(template.training)


def _written(template: nn.Module) -> fx.Graph:
    # Not by a Tracer of torch.fx: while one works, it stands around the calls and attributes of all modules of the
    # process, and two at once leave theirs behind. Here a shell holds stand-ins for what the template holds.
    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)
    given = [
        tracer.create_proxy("placeholder", name, (), {}) for name in inspect.signature(template.forward).parameters
    ]
    shell = object.__new__(type(template))
    shell.__dict__.update(vars(template))
    shell.__dict__["_parameters"] = _stand_ins(tracer, template._parameters.items())  # noqa: SLF001  as it holds them
    shell.__dict__["_buffers"] = _stand_ins(tracer, template._buffers.items())  # noqa: SLF001
    shell.__dict__["_modules"] = {
        name: None if child is None else _Child(tracer, name)
        for name, child in template._modules.items()  # noqa: SLF001  named_children leaves second names out
    }
    graph.output(tracer.create_arg(shell.forward(*given)))
    for node in [node for node in graph.nodes if node.op == "get_attr"]:
        first = next((other for other in graph.nodes if other in node.users), None)
        if first is None:
            graph.erase_node(node)
        else:
            first.prepend(node)  # modules list their tensors in the order in which the code reads them
    return graph


def _stand_ins(
    tracer: fx.proxy.TracerBase, held: Iterable[tuple[str, torch.Tensor | None]]
) -> dict[str, fx.Proxy | None]:
    return {name: None if tensor is None else tracer.create_proxy("get_attr", name, (), {}) for name, tensor in held}


def _keep_name(made: fx.GraphModule, name: str) -> None:
    # A pickle reads this; copy.deepcopy does not, but each instance has a class of its own, which can say it.
    vars(made)["_graphmodule_cls_name"] = name

    def initialise(twin: fx.GraphModule, root: nn.Module, graph: fx.Graph) -> None:
        fx.GraphModule.__init__(twin, root, graph, class_name=name)
        _keep_name(twin, name)

    setattr(type(made), "_deepcopy_init", lambda _made: initialise)  # noqa: B010  its type is narrower than it is used
