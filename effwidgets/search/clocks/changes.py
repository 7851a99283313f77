"""Which pieces of a model a plan changes, each as it is and as it would be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from torch import nn

from effwidgets.errors import EffError, TransformError
from effwidgets.profiling.calls import Call, shapes_of
from effwidgets.profiling.shadow import Shadow, make_shadow, share
from effwidgets.records import Profile, Step
from effwidgets.search.clocks.tape import Heard, Tape
from effwidgets.search.clocks.works import Work
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.foresee import foresee
from effwidgets.transforms.surgery import find_layer
from effwidgets.transforms.taken import Whole, taken_between
from effwidgets.transforms.trial import stand_in

__all__ = ["Changes", "Pair"]

_IDLE: Final = ("Sequential", "ModuleList", "ModuleDict")


@dataclass(frozen=True, slots=True)
class Pair:
    """One call of a piece as it is, and of what would stand there; equal by `key`.

    Attributes:
        key: names both and the place where they run.
        layer: dotted path, for messages.
    """

    before: Work = field(compare=False)
    after: Work = field(compare=False)
    layer: str = field(compare=False)
    key: str = ""

    def at(self, where: str) -> Pair:
        """Return it with its key for one place."""
        text = f"{where}\n{self.before.key()}\n{self.after.key()}"
        return replace(self, key=hashlib.sha256(text.encode()).hexdigest()[:32])


class Changes:
    """A model that steps would change, with what its layers are called with.

    Args:
        model: a private copy in evaluation mode; it is run once.
        call: what it is called with.
        profile: of the two.
    """

    def __init__(self, model: nn.Module, call: Call, profile: Profile) -> None:
        self._model, self._call, self._profile = model, call, profile
        self._tape = Tape(stand_in(model), call)
        self._shadow: Shadow | None = None

    def pairs(self, steps: Sequence[Step]) -> Iterator[Pair]:
        """Yield a pair for each call of each piece that ``steps`` change; what does the same work is left out.

        Raises:
            TransformError: a step cannot be done.
            UnknownNameError: a transformation, layer or setting that there is not.
        """
        edited, met = share(self._model), [self._profile]
        foreseen = True
        for step in steps:
            TRANSFORMS[step.transform].rewrite(edited, step, met[-1])
            try:
                met.append(foresee(met[-1], step))
            except EffError:
                foreseen = False
        moves = not foreseen or _reshaped(self._profile, met[-1])
        after = self._rerun(edited, steps, met) if moves else self._tape
        for path, whole in _changed((self._model, edited), self._tape, after):
            calls = self._tape.calls[path], after.calls.get(path, [])
            if len(calls[0]) != len(calls[1]):
                raise TransformError(f"{path} is called {len(calls[1])} times then, and {len(calls[0])} times now.")
            old, new = (find_layer(model, path) for model in (self._model, edited))
            for one, other in zip(*calls, strict=True):
                pair = Pair(_work(old, path, one, self._tape, whole), _work(new, path, other, after, whole), path)
                if pair.before.key() != pair.after.key():
                    yield pair

    def _rerun(self, edited: nn.Module, steps: Sequence[Step], met: Sequence[Profile]) -> Tape:
        # On a shadow where the forward allows it: that takes a fraction of a forward, and no shape is guessed.
        try:
            if self._shadow is None:
                self._shadow = make_shadow(self._model)
                self._shadow.mode.cache_enabled = True  # nothing is counted here, so equal questions may be one
            fake = share(self._shadow.model)
            for place, step in enumerate(steps):
                TRANSFORMS[step.transform].rewrite(fake, step, met[min(place, len(met) - 1)])
            with self._shadow.mode:
                return Tape(fake, self._shadow.fake(self._call), like=self._tape)
        except Exception:  # noqa: BLE001  a forward that asks for values
            try:
                return Tape(stand_in(edited), self._call)
            except Exception as error:
                text = str(error).strip().partition("\n")[0][:200]
                raise TransformError(f"The forward fails after {steps[-1]}: {type(error).__name__}: {text}.") from error


def _reshaped(before: Profile, after: Profile) -> bool:
    # Whether anything but the layers that were replaced takes or returns other shapes.
    old = {layer.name: (layer.inputs, layer.outputs) for layer in before.layers}
    return any(
        old.get(layer.name, shapes) != shapes for layer in after.layers for shapes in [(layer.inputs, layer.outputs)]
    )


def _changed(models: tuple[nn.Module, nn.Module], before: Tape, after: Tape) -> Iterator[tuple[str, bool]]:
    """Yield the paths of the pieces, and whether all that is called below them belongs to them."""
    taken = taken_between(*models)
    wholes = {_called(part.path, before) for part in taken if isinstance(part, Whole)}
    wholes |= {_called(path, before) for path in _compiled(*models)}
    owns = {_called(part.path, before) for part in taken} - wholes
    owns |= {path for path in before.calls if path in after.calls and _moved(path, before, after)}
    done: set[str] = set()
    for path in sorted(wholes, key=len):
        if not any(_inside(path, other) for other in done):
            done.add(path)
            yield path, True
    for path in sorted(owns):
        if not any(_inside(path, other) for other in done):
            inner = any(heard.inner for heard in before.calls[path])
            if not inner or type(find_layer(models[0], path)).__name__ not in _IDLE:
                yield path, not inner


def _moved(path: str, before: Tape, after: Tape) -> bool:
    # Whether a module takes, or is answered by those inside, tensors of other shapes.
    if before is after:
        return False
    for one, other in zip(before.calls[path], after.calls[path], strict=False):
        if shapes_of(one.given) != shapes_of(other.given):
            return True
        inner = [
            [shapes_of(tape.answer(*call)) for call in heard.inner] for tape, heard in ((before, one), (after, other))
        ]
        if inner[0] != inner[1]:
            return True
    return False


def _compiled(model: nn.Module, edited: nn.Module) -> Iterator[str]:
    for path, module in edited.named_modules():
        if module._compiled_call_impl is not None and model.get_submodule(path)._compiled_call_impl is None:  # noqa: SLF001
            yield path


def _called(path: str, tape: Tape) -> str:
    # What is not called itself, as the layers in a fused attention, is a part of what is.
    while path and path not in tape.calls:
        path = path.rpartition(".")[0]
    return path


def _inside(path: str, other: str) -> bool:
    return path == other or not other or path.startswith(f"{other}.")


def _work(module: nn.Module, path: str, heard: Heard, tape: Tape, whole: bool) -> Work:  # noqa: FBT001  of `_changed`
    if whole:
        return Work(module, heard.given)
    answers = []
    for name, place in heard.inner:
        if path and not name.startswith(f"{path}."):
            raise TransformError(f"{path} calls {name}, which stands elsewhere, so that it cannot be run alone.")
        answers.append((name.removeprefix(f"{path}.") if path else name, tape.answer(name, place)))
    return Work(module, heard.given, tuple(answers))
