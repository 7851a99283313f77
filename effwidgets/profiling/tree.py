"""The modules of a model by their paths, in one walk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from torch import nn

__all__ = ["Tree", "tree_of"]


_MOST: Final = 10_000  # other names that are followed; nested sharing makes exponentially many


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The modules of a model.

    Attributes:
        modules: path -> module, in the order of ``named_modules()``; each module once, under its first path.
        aliases: first path -> the other paths under which the same module stands.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def tensors(self) -> list[nn.Parameter | nn.Buffer]:
        """Return the parameters and buffers, a tied one as often as it stands somewhere."""
        stores = [store for module in self.modules.values() for store in (module._parameters, module._buffers)]
        return [tensor for store in stores for tensor in store.values() if tensor is not None]  # type: ignore[misc]


def tree_of(model: nn.Module) -> Tree:
    """Walk over ``model`` once; `named_modules` costs as much as a small forward on a deep one."""
    tree = Tree()
    first: dict[int, str] = {}
    others: dict[str, list[str]] = {}
    again = 0
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    while waiting:
        path, module = waiting.pop()
        known = first.setdefault(id(module), path)
        if known == path:
            tree.modules[path] = module
        else:
            others.setdefault(known, []).append(path)
            again += 1
            if again > _MOST or not known or path.startswith(f"{known}."):
                continue  # it holds itself, or so many names are of use to nobody
        children = [
            (f"{path}.{name}" if path else name, child) for name, child in module._modules.items() if child is not None
        ]
        waiting.extend(reversed(children))
    tree.aliases.update({path: tuple(paths) for path, paths in others.items()})
    return tree
