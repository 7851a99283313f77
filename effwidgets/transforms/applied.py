"""`Applied`: an edited copy of a model, what was done to it, and what an optimizer must know of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.records import Account, Edit, Json, Plan, Profile, Repaired, Shown, Skip
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.recipes.architecture import Line
from effwidgets.transforms.taken import Taken

__all__ = ["Applied", "History", "notes_of", "optimizer_note", "parameters_changed"]

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """What `undo` needs: it holds tensors, so it is not saved.

    Attributes:
        call: what the model was called with.
        calibration: what values were fitted to.
        taken: for each edit, what it took out of the model.
        first: the parameters as the copy began, by name: each is in the model still, or in what was taken.
    """

    call: Call
    calibration: Calibration | None
    taken: tuple[Taken, ...]
    first: Mapping[str, nn.Parameter]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Applied(Shown):
    """An edited copy of a model and what was done to it.

    Attributes:
        model: the edited copy.
        plan: what was asked for.
        before: the model that was handed in.
        profile: the edited copy; its groups are not looked for.
        edits: what was done, in the order of the plan.
        skipped: steps that failed or broke the model and were undone, each with the reason.
        seconds: how long it took.
        notes: what a reader must know beside that, in sentences.
        new_parameters: names of the parameters of ``model`` that the edits made and that can be trained: an optimizer
            begins anew with them.
        gone_parameters: names of parameters of the model that was handed in and that ``model`` has no more.
        repaired: what repair did and how long it took; None where there was none.
        described: for each edit, the profile that its rewrite read; None where it reads none.
        dense: the architecture that was handed in, for a recipe.
        history: what `undo` needs; None where it was dropped to save memory.
    """

    model: nn.Module
    plan: Plan
    before: Profile
    profile: Profile
    edits: tuple[Edit, ...]
    skipped: tuple[Skip, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    new_parameters: tuple[str, ...] = ()
    gone_parameters: tuple[str, ...] = ()
    repaired: Repaired | None = None
    described: tuple[Profile | None, ...] = ()
    dense: tuple[Line, ...] = ()
    history: History | None = None

    def account(self) -> Account:
        """Return what was done as a record, without the model: what a notebook shows, and what JSON can keep."""
        optimizer = optimizer_note(self.new_parameters, self.gone_parameters)
        from effwidgets.transforms.formats.download import download_bytes  # with all formats

        coded = any(name == "download_bytes" for edit in self.edits for name, _ in edit.measured)
        said = {optimizer, *notes_of(self.edits, (), "", self.repaired)}
        return Account(
            model=self.profile.model,
            cost_before=self.before.cost,
            cost_after=self.profile.cost,
            memory_before=self.before.memory,
            memory_after=self.profile.memory,
            edits=self.edits,
            skipped=self.skipped,
            seconds=self.seconds,
            repaired=self.repaired,
            optimizer=optimizer,
            notes=tuple(note for note in self.notes if note not in said),
            download_bytes=download_bytes(self.profile, self.edits) if coded else None,
            origin=self.profile.origin,
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Json:
        return self.account()._repr_mimebundle_(include, exclude)

    def __repr__(self) -> str:
        undone = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"Applied({self.profile.model}: {len(self.edits)} edits{undone}, {self.profile.cost!r})"


def notes_of(edits: Iterable[Edit], found: Iterable[str], optimizer: str, repaired: Repaired | None) -> tuple[str, ...]:
    """Return all that a reader must know: of the edits, of the checks, of the optimizer, of the repair."""
    own = [f"{edit.step}: {note}" for edit in edits for note in edit.notes]
    mended = repaired.notes if repaired else ()
    return tuple(note for note in (*own, *found, optimizer, *mended) if note)


def parameters_changed(first: Mapping[str, nn.Parameter], model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the parameters of ``model`` that are not among ``first``, and of those that it lacks.

    What no optimizer is given is not among the new ones: frozen parameters and the whole numbers of a format.

    Args:
        first: the parameters before the edits, by name.
        model: after them.
    """
    now = dict(model.named_parameters())
    before, after = ({id(parameter) for parameter in held.values()} for held in (first, now))
    new = tuple(name for name, parameter in now.items() if id(parameter) not in before and parameter.requires_grad)
    gone = tuple(name for name, parameter in first.items() if id(parameter) not in after)
    return new, gone


def optimizer_note(new: tuple[str, ...], gone: tuple[str, ...]) -> str:
    """Say what an optimizer of the model that was handed in does not know; "" where it can stay.

    >>> optimizer_note(("fc.0.weight", "fc.1.weight"), ("fc.weight",))
    'Make a new optimizer: 2 parameters are new (fc.0.weight, fc.1.weight), 1 is gone (fc.weight).'
    """
    if not new and not gone:
        return ""
    parts = [f"{_count(names)} {word} ({_some(names)})" for names, word in ((new, "new"), (gone, "gone")) if names]
    return f"Make a new optimizer: {', '.join(parts).replace(' are', ' parameters are', 1)}."


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} {'is' if len(names) == 1 else 'are'}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
