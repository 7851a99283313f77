"""Layers inside that are to answer as the teacher's do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from effwidgets.errors import UnknownNameError
from effwidgets.profiling.calls import tensors_in

__all__ = ["Features", "taps"]

_RIDGE = 1e-3  # of the mean square of a channel: what a map fitted to few rows is held back by


@contextmanager
def taps(model: nn.Module, layers: Iterable[str], kept: dict[str, Tensor]) -> Iterator[None]:
    """Put what the named layers answer into ``kept`` at each forward: their first floating-point tensor."""

    def keep(name: str, output: object) -> None:
        tensor = next((tensor for tensor in tensors_in(output) if tensor.is_floating_point()), None)
        if tensor is not None:
            kept[name] = tensor

    known = dict(model.named_modules(remove_duplicate=False))
    handles = [
        known[name].register_forward_hook(lambda _module, _inputs, output, name=name: keep(name, output))
        for name in layers
        if name in known
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        kept.clear()


class Features:
    """Compares the answers of layers: the mean of their relative squared errors.

    Where pruning left fewer channels, the student's are carried to the teacher's by the linear map with the least
    squared error on the first batch, which then stays as it is: what the student still knows of the teacher's channels
    is kept, without a layer that would have to be trained. What cannot be compared stands in ``notes``.

    Raises:
        UnknownNameError: the teacher has no such layer.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module, layers: tuple[str, ...]) -> None:
        known = [name for name, _ in teacher.named_modules(remove_duplicate=False) if name]
        for name in layers:
            if name not in known:
                raise UnknownNameError("layer", name, known)
        left = dict(student.named_modules(remove_duplicate=False))
        self.notes = {
            name: f"{name} is not in the student, so it is not compared" for name in layers if name not in left
        }
        self.layers = tuple(name for name in layers if name in left)
        self._maps: dict[str, tuple[int, Tensor]] = {}

    def __call__(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor | None:
        """Return the mean over the layers, None where nothing can be compared."""
        found = []
        for name in self.layers:
            if name in student and name in teacher:
                mine = self._carried(name, student[name], teacher[name].detach())
                if mine is not None:
                    his = teacher[name].detach().float()
                    found.append((mine - his).square().mean() / (his.square().mean() + 1e-12))
            else:
                self.notes.setdefault(name, f"{name} did not run, so it is not compared")
        return torch.stack(found).mean() if found else None

    def _carried(self, name: str, mine: Tensor, his: Tensor) -> Tensor | None:
        if mine.shape == his.shape:
            return mine.float()
        differing = [place for place, sizes in enumerate(zip(mine.shape, his.shape, strict=False)) if len({*sizes}) > 1]
        if mine.dim() != his.dim() or differing not in ([1], [mine.dim() - 1]):
            self.notes.setdefault(
                name, f"{name} answers {tuple(mine.shape)} and the teacher's {tuple(his.shape)}, so it is not compared"
            )
            return None
        place = differing[0]
        rows = mine.float().movedim(place, -1)
        if name not in self._maps:
            self._maps[name] = place, _least_squares(rows.detach(), his.float().movedim(place, -1))
        return (rows @ self._maps[name][1]).movedim(-1, place)


def _least_squares(mine: Tensor, his: Tensor) -> Tensor:
    # The map M with the least |X M - Y|, held back a little where there are few rows.
    x, y = mine.flatten(0, -2).double(), his.flatten(0, -2).double()
    gram = x.T @ x
    ridge = (
        _RIDGE * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    )
    found: Tensor = torch.linalg.solve(gram + ridge, x.T @ y)
    return found.to(mine.dtype)
