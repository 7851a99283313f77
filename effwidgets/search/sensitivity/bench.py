"""Makes one point: the step alone on a private copy, fitted and repaired, then measured on held-out inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from effwidgets.errors import Cancelled, ModelError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.shadow import share
from effwidgets.profiling.timing.alone import give_way
from effwidgets.records import Edit, Profile, Score, SensitivityPoint, Step
from effwidgets.search.engine.gate import Asked
from effwidgets.search.engine.scores import read_scores
from effwidgets.search.sensitivity.gauge import Gauge, answer_of
from effwidgets.search.sensitivity.memory import Memory
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.search.sensitivity.parts import Parts
from effwidgets.transforms.apply import private_copy
from effwidgets.transforms.asking import ask
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.factorize.spectrum import remembered
from effwidgets.transforms.factorize.whitening import prepared
from effwidgets.transforms.sound import what_failed
from effwidgets.transforms.trial import answer, quiet_random, stand_in

if TYPE_CHECKING:
    from effwidgets.transforms.base import Transform

__all__ = ["Bench"]


class Bench:
    """Measures steps against the model as it is; the model is not touched.

    One forward of the model on each call is remembered; a changed copy computes what lies behind the change. All that
    runs asks, before each forward, whether to go on (`asking`).

    Args:
        model: the model.
        profile: of it, with groups.
        parts: the data.
        options: how to measure.

    Raises:
        ModelError: the model's own forward fails, or its outputs are not what the gauge needs.
    """

    def __init__(self, model: nn.Module, profile: Profile, parts: Parts, options: SensitivityOptions) -> None:
        self._model = share(model)
        self._model.register_forward_pre_hook(_before)
        self._profile = profile
        self._parts = parts
        self._options = options
        self._held: Sequence[Call] = parts.held
        fit = () if parts.fit is None or not options.repair else parts.fit.batches
        calls = dict.fromkeys((*map(id, parts.held), *map(id, fit)))
        known = {id(call): call for call in (*parts.held, *fit)}
        try:
            self._memory = Memory(self._model, [known[key] for key in calls])
        except Cancelled:
            raise
        except Exception as error:
            raise ModelError(f"The forward of {type(model).__name__} failed: {what_failed(error)}") from error
        self.gauge = Gauge([answer_of(found) for found in self._memory.answers[: len(parts.held)]], options.gauge)

    @contextmanager
    def at(self, steps: Iterable[Step]) -> Iterator[None]:
        """While this lasts, what these steps have in common is computed once: moments, spectra, forwards."""
        fitted = [step for step in steps if getattr(TRANSFORMS[step.transform], "fits_inputs", False)]
        with ExitStack() as stack:
            stack.enter_context(remembered())
            stack.enter_context(prepared(self._model, (step.layers[0] for step in fitted), self._parts.fit))
            stack.enter_context(self._memory.used())
            yield

    def base(self) -> tuple[Score, ...]:
        """Return the scores of the model as it is.

        Raises:
            SearchError: ``evaluate`` returned no number; others, whatever it raised.
        """
        return self._scores(self._model, None) if self._options.evaluate is not None else ()

    def measure(self, point: SensitivityPoint, main: str | None) -> SensitivityPoint:
        """Return the point with its numbers; what could not be done is said in its note.

        Args:
            point: the step.
            main: name of the main score; None where there is none.
        """
        transform = TRANSFORMS[point.step.transform]
        try:
            trial = self._made(transform, point)
            answers = [answer_of(answer(trial, call)) for call in self._held]
            divergence, error = self.gauge.of(answers)
        except Cancelled:
            raise
        except Exception as failure:  # noqa: BLE001  a plug-in, or the changed model's own forward
            return replace(point, note=what_failed(failure))
        found = replace(point, divergence=divergence, error=error)
        if main is None:
            return found
        try:
            return replace(found, scores=self._scores(trial, main))
        except Cancelled:
            raise
        except Exception as failure:  # noqa: BLE001  the user's own function
            return replace(found, note=f"evaluate: {what_failed(failure)}")

    def _made(self, transform: Transform, point: SensitivityPoint) -> nn.Module:
        trial = stand_in(self._model)
        edit = transform.rewrite(trial, point.step, self._profile)
        edit = transform.fit(trial, share(self._model), edit, self._parts.fit)
        trial.eval()
        if self._options.repair and self._parts.fit is not None:
            self._mend(trial, edit)
        return trial

    def _mend(self, trial: nn.Module, edit: Edit) -> None:
        from effwidgets.transforms.repair.units import units_of
        from effwidgets.transforms.repair.whole import repair

        if self._parts.fit is None:
            return
        units, _ = units_of(trial, self._model, [edit], None)
        _own(trial, [unit.layer for unit in units])
        repair(trial, self._model, [edit], self._parts.fit, check=ask)

    def _scores(self, model: nn.Module, main: str | None) -> tuple[Score, ...]:
        evaluate = self._options.evaluate
        if evaluate is None:
            return ()
        own = private_copy(model).eval()  # what it writes into is its own
        with quiet_random(), Asked(ask).guard(own, self._options.time_limit_s):
            found = evaluate(own)
        return read_scores(found, self._options.score_name, main)


def _before(module: nn.Module, args: object) -> None:
    del module, args
    give_way()  # to a measurement of time
    ask()


def _own(trial: nn.Module, layers: Sequence[str]) -> None:
    # Repair writes into values: what these layers share with the model becomes their own.
    for name in layers:
        module = trial.get_submodule(name)
        for kind, tensor in list(module.named_parameters(recurse=False)):
            own = nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)
            module.register_parameter(kind, own)
