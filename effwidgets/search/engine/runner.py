"""Makes one candidate and scores it: apply, fine-tune, evaluate."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, SupportsFloat, cast

from torch import Tensor, nn

from effwidgets.errors import InputError, SearchError
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.profiling.shadow import check_module
from effwidgets.records import Candidate, Profile, Rung, Score
from effwidgets.search.engine.gate import Gate
from effwidgets.transforms.apply import Applied, apply, private_copy
from effwidgets.transforms.calibration import calibration_of
from effwidgets.transforms.sound import check_answers, check_calibration, check_real, what_failed
from effwidgets.transforms.trial import quiet_random

if TYPE_CHECKING:
    from effwidgets.profiling.calls import Call
    from effwidgets.search.engine.options import Evaluate, SearchOptions

__all__ = ["Runner", "failure_text", "marks_of", "read_scores", "sentence", "skipped_text"]


class Runner:
    """Holds the private copy of the dense model and all that is needed to make candidates from it.

    Raises:
        InputError: the model cannot be copied, or ``evaluate`` cannot be called.
    """

    def __init__(self, model: nn.Module, call: Call, evaluate: Evaluate, options: SearchOptions) -> None:
        if not callable(evaluate):
            raise InputError(
                f"evaluate is {type(evaluate).__name__}; a function from a model to its score was expected."
            )
        check_module(model)
        check_real(model, call)
        self.model = private_copy(model).eval()
        self.call = call
        self._known: Profile | None = None
        with quiet_random():  # a loader that shuffles draws from the state of the whole process
            self.calibration = calibration_of(options.calibration)
        self._evaluate = evaluate
        self._options = options

    @property
    def rung(self) -> Rung:
        """How far a compressed candidate is taken."""
        if self._options.finetune is not None:
            return "fine-tuned"
        return "zero-shot" if self.calibration is None else "repaired"

    def build(self, candidate: Candidate, check: Callable[[], None] | None = None) -> Applied:
        """Make the candidate's model, untrained; the same bits each time.

        Raises:
            SearchError: not one step of its plan could be done.
        """
        dense = candidate.number == 0
        if self._known is None:
            check_answers(self.model, self.call)
            if self.calibration is not None:
                check_calibration(self.model, self.calibration, self.call)
            self._known = profile(self.model, self.call, options=ProfileOptions(second_opinion=True))
        applied = apply(
            self.model,
            candidate.plan,
            self.call,
            calibration=self.calibration,
            repair=not dense,
            check=check,
            known=self._known,
        )
        if len(candidate.plan) and not applied.edits:
            raise SearchError(f"No step of the plan could be done. {skipped_text(applied)}")
        applied.model.eval()
        return dataclasses.replace(applied, history=None)  # many are kept: what `undo` needs would double their memory

    def finetune(self, applied: Applied, gate: Gate) -> bool:
        """Train the model in place, when the search was given a way to; say whether it was."""
        train = self._options.finetune
        if train is None:
            return False
        with gate.guard(applied.model, self._options.time_limit_s):
            train(applied.model, copy.deepcopy(self.model))
        applied.model.zero_grad(set_to_none=True)
        applied.model.eval()
        return True

    def score(self, applied: Applied, gate: Gate, main: str | None) -> tuple[Score, ...]:
        """Score the model; ``main`` is the name that the first score must have, None for the dense model's."""
        with gate.guard(applied.model, self._options.time_limit_s):
            found = self._evaluate(applied.model)
        applied.model.eval()
        return read_scores(found, self._options.score_name, main)


def skipped_text(applied: Applied) -> str:
    """Say in a line what was not done, and why."""
    reasons = [f"{skip.transform} at {', '.join(skip.layers)}: {skip.reason}" for skip in applied.skipped]
    more = f" And {len(reasons) - 2} more." if len(reasons) > 2 else ""  # two fit a hover card
    return " ".join(reasons[:2]) + more


def read_scores(found: object, name: str, main: str | None) -> tuple[Score, ...]:
    """Read what ``evaluate`` returned: a number, or numbers by name, the main one first.

    Raises:
        SearchError: no finite number, or the main score ``main`` is missing.
    """
    values: Mapping[Any, object] = found if isinstance(found, Mapping) else {name: found}
    if not values:
        raise SearchError("evaluate returned an empty dict; at least one named number was expected.")
    scores = {str(key): _number(value, str(key)) for key, value in values.items()}
    first = next(iter(scores)) if main is None else main
    if first not in scores:
        raise SearchError(f"evaluate returned {', '.join(scores)} and no {first!r}, the main score of the dense model.")
    if not math.isfinite(scores[first]):
        raise SearchError(f"evaluate returned {scores[first]} for {first!r}; a finite number was expected.")
    ordered = {first: scores[first], **scores}
    return tuple(Score(metric=key, value=value) for key, value in ordered.items() if math.isfinite(value))


def _number(value: object, name: str) -> float:
    if isinstance(value, Tensor):
        value = value.detach()
    if not isinstance(value, bool | str | bytes):
        try:
            return float(cast("SupportsFloat", value))  # a number, a numpy scalar, a tensor with one element
        except (TypeError, ValueError, RuntimeError):
            pass
    raise SearchError(f"evaluate returned {type(value).__name__} for {name!r}; a number was expected.")


def marks_of(model: nn.Module) -> tuple[object, ...]:
    """Return what changes when somebody writes into the tensors of ``model``, replaces one, or leaves a hook."""
    tensors = [*model.parameters(), *model.buffers()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]  # noqa: SLF001
    return (*((id(tensor), tensor._version) for tensor in tensors), *hooks)  # noqa: SLF001  no public name counts writes


def sentence(text: str) -> str:
    """End ``text`` with a full stop, unless it ends somehow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def failure_text(error: BaseException) -> str:
    """Say what went wrong in one line: ours as they are, others with their type."""
    return what_failed(error)
