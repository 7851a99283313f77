"""Modules that torch.nn has no class for, written as graphs: they carry their own code and need nothing of ours."""

from __future__ import annotations

from torch import fx, nn

__all__ = ["graph_of"]


class _Flat(fx.Tracer):
    """Keeps the children as they are and writes the forward of the module itself down."""

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        del module, module_qualified_name
        return True


def graph_of(template: nn.Module, name: str) -> nn.Module:
    """Return ``template`` as a `torch.fx.GraphModule` of class ``name``, with its children, parameters and buffers.

    The forward of ``template`` may use torch and its own children, parameters and buffers, without branches on values.
    What is returned can be copied, pickled and run where effwidgets is not installed.
    """
    graph = _Flat().trace(template)
    made = fx.GraphModule(template, graph, class_name=name)
    return made.train(template.training)
