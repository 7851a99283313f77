"""Modules that torch.nn has no class for, written as graphs: they carry their own code and need nothing of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

__all__ = ["graph_of"]


class _Flat(fx.Tracer):
    """Keeps the children as they are and writes the forward of the module itself down."""

    proxy_buffer_attributes = True  # else what is computed from buffers alone would be computed now, once

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        # While this one traces, torch.fx stands around the calls of all modules, of other threads too.
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        del module, module_qualified_name
        return True


def graph_of(template: nn.Module, name: str) -> nn.Module:
    """Return ``template`` as a `torch.fx.GraphModule` of class ``name``, with its children, parameters and buffers.

    The forward of ``template`` may use torch and its own children, parameters and buffers, without branches on values.
    What is returned can be copied, pickled and run where effwidgets is not installed. Let each operation have an input
    or a parameter among its operands: torch computes one on buffers alone when it reads the pickle, and keeps that.

    >>> double = graph_of(nn.Sequential(nn.Linear(2, 2)), "Wrapped")
    >>> type(double).__name__
    'Wrapped'
    """
    graph = _Flat().trace(template)
    for node in graph.nodes:
        node.type = None  # annotations that are text, as all of ours, could not be pickled
    graph._tracer_cls = None  # noqa: SLF001  a pickle would name our class
    made = fx.GraphModule(template, graph, class_name=name)
    _keep_name(made, name)
    return made.train(template.training)


def _keep_name(made: fx.GraphModule, name: str) -> None:
    # A pickle reads this; copy.deepcopy does not, but each instance has a class of its own, which can say it.
    vars(made)["_graphmodule_cls_name"] = name

    def initialise(twin: fx.GraphModule, root: nn.Module, graph: fx.Graph) -> None:
        fx.GraphModule.__init__(twin, root, graph, class_name=name)
        _keep_name(twin, name)

    setattr(type(made), "_deepcopy_init", lambda _made: initialise)  # noqa: B010  its type is narrower than it is used
