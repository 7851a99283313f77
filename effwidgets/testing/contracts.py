"""What every transformation, metric and view promises, as checks that a plug-in's own tests can run.

Each suite takes what the entry point names and raises `AssertionError` with the broken promise.

>>> from effwidgets.testing.contracts import TransformContract
>>> from effwidgets.transforms.low_rank import LOW_RANK
>>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
>>> TransformContract(LOW_RANK).check(model, torch.ones(2, 8))
2
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from effwidgets.metrics.base import METRICS, Metric
from effwidgets.profiling.calls import Inputs, as_call, tensors_in
from effwidgets.profiling.profile import profile
from effwidgets.profiling.shadow import share
from effwidgets.records import VIEWS, Plan, Profile, Record, Settings, Site, Skip, Step, View, settings
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.apply import LEFT_OUT, Applied, apply, hypothetical
from effwidgets.transforms.architecture import architecture_of
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.recipe import load, save
from effwidgets.transforms.trial import answer, stand_in
from effwidgets.transforms.verify import reference_of

__all__ = ["HOSTILE", "MetricContract", "TransformContract", "ViewContract", "hostile", "settings_of"]

HOSTILE = "<script>alert('effwidgets')</script>"
"""A name that a page must never carry as markup."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class TransformContract:
    """The promises of a transformation. It must be registered: plans call it by name."""

    transform: Transform

    def check(self, model: nn.Module, inputs: Inputs, *, at: int | None = None) -> int:
        """Check all promises on every site of one model.

        Args:
            model: where; it is not changed.
            inputs: what it is called with.
            at: edit one site only, this one, counted round and round; for suites that must be quick.

        Returns:
            how many sites there are: a suite that looked at none has shown nothing.
        """
        assert TRANSFORMS[self.transform.name] is self.transform, "it is registered under another name"
        assert isinstance(self.transform, Transform), "it does not have all attributes and methods of a Transform"
        known = profile(model, inputs)
        sites = self.sites(known)
        self.check_reasons(known)
        for site in sites if at is None or not sites else [sites[at % len(sites)]]:
            self.check_estimates(model, inputs, site, known)
            self.check_edit(model, inputs, site, known)
        if sites:
            self.check_caller_untouched(model, inputs, sites[0])
            self.check_commutes(model, inputs, sites, known)
        return len(sites)

    def sites(self, known: Profile) -> tuple[Site, ...]:
        """Return the places where it applies."""
        return tuple(found for found in self.transform.sites(known) if isinstance(found, Site))

    def check_reasons(self, known: Profile) -> None:
        """Every site and every skip names its layers, itself and a reason."""
        for found in self.transform.sites(known):
            assert isinstance(found, Site | Skip), f"{found!r} is neither a Site nor a Skip"
            assert found.transform == self.transform.name, f"{found.transform} is not its name"
            assert found.layers, "a site names no layer"
            assert found.reason.strip(), f"no reason at {found.layers}"

    def check_estimates(self, model: nn.Module, inputs: Inputs, site: Site, known: Profile) -> None:
        """The estimate equals the profile of the rewritten model, to the integer, in the fields of ``exact``.

        Looks at all settings but the first and the last, which `check_edit` makes true.
        """
        for step in self.steps(site)[1:-1]:
            found = hypothetical(model, Plan(steps=(step,)), inputs, known=known)
            assert not any(note.startswith(LEFT_OUT) for note in found.notes), found.notes
            self._check_estimate(step, known, found)

    def _check_estimate(self, step: Step, known: Profile, found: Profile) -> None:
        estimate, change = self.transform.estimate(known, step), found.cost - known.cost
        for name in self.transform.exact:
            said, is_so = getattr(estimate, name), getattr(change, name)
            assert said == is_so, f"{step}: {name} estimated {said}, is {is_so}"

    def check_edit(self, model: nn.Module, inputs: Inputs, site: Site, known: Profile) -> None:
        """The smallest setting can be done, as estimated; the largest one removes nothing.

        The edit inserts plain torch and writes into nothing old; its plan survives JSON, its recipe rebuilds it.
        """
        first, *_, last = [*self.steps(site), self.steps(site)[-1]]
        self._check_writes(model, first, known)
        small = self._applied(model, inputs, first, known)
        old = {type(module) for module in model.modules()}
        for name, module in small.model.named_modules():
            plain = type(module).__module__.startswith("torch.nn.")
            assert plain or type(module) in old, f"{first} puts a {type(module)} at {name}; torch.nn was expected"
        with tempfile.TemporaryDirectory() as folder:
            loaded = load(save(small, Path(folder) / "recipe"), model)
        assert architecture_of(loaded) == architecture_of(small.model), f"{first}: load builds another architecture"
        for new, saved in zip(_outputs(loaded, inputs), _outputs(small.model, inputs), strict=True):
            assert torch.equal(new, saved), f"{first}: the loaded model answers otherwise"
        if any(knob.kind == "int" for knob in site.knobs):
            full = self._applied(model, inputs, last, known)
            expected, near = reference_of(model, as_call(inputs))
            for new, wanted in zip(_outputs(full.model, inputs), expected, strict=True):
                off = float((new.double() - wanted.double()).norm())
                assert off <= near * float(wanted.double().norm()), f"{last}: nothing removed, outputs {off:.2g} apart"

    def _applied(self, model: nn.Module, inputs: Inputs, step: Step, known: Profile) -> Applied:
        plan = Plan(steps=(step,))
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan, "the plan does not survive JSON"
        applied = apply(model, plan, inputs, known=known)
        assert applied.edits, f"{step} was skipped: {applied.skipped}"
        self._check_estimate(step, known, applied.profile)
        return applied

    def _check_writes(self, model: nn.Module, step: Step, known: Profile) -> None:
        work, original = share(model), share(model)
        before = state_of(original)
        edit = self.transform.rewrite(work, step, known)
        self.transform.fit(work, original, edit, None)
        changed = before.differences(state_of(original))
        assert not changed, f"{step} changes the model that it was copied from: {changed}"

    def check_caller_untouched(self, model: nn.Module, inputs: Inputs, site: Site) -> None:
        """The caller's model and the random state are as they were, also when something raises in the middle."""
        plan = Plan(steps=tuple(self.steps(site)[:2]))
        before = state_of(model)
        apply(model, plan, inputs, calibration=as_call(inputs))
        changed = before.differences(state_of(model))
        assert not changed, f"apply changed {changed}"
        calls = iter((None, RuntimeError("stop")))

        def stop() -> None:
            error = next(calls)
            if error:
                raise error

        with contextlib.suppress(RuntimeError):
            apply(model, plan, inputs, check=stop)
        changed = before.differences(state_of(model))
        assert not changed, f"an apply that was stopped changed {changed}"

    def check_commutes(self, model: nn.Module, inputs: Inputs, sites: tuple[Site, ...], known: Profile) -> None:
        """Two steps on layers that have nothing in common give the same model in either order."""
        one = self.steps(sites[0])[0]
        touched = self._touched(model, one, known)
        other = next(
            (step for site in sites[1:] if not touched & self._touched(model, step := self.steps(site)[0], known)), None
        )
        if other is None:
            return
        first = apply(model, Plan(steps=(one, other)), inputs, known=known)
        second = apply(model, Plan(steps=(other, one)), inputs, known=known)
        assert len(first.edits) == len(second.edits) == 2, (first.skipped, second.skipped)
        assert architecture_of(first.model) == architecture_of(second.model), f"{one} and {other} do not commute"
        for name, tensor in first.model.state_dict().items():
            assert torch.equal(tensor, second.model.state_dict()[name]), (
                f"{name} depends on the order of {one}, {other}"
            )

    def _touched(self, model: nn.Module, step: Step, known: Profile) -> set[str]:
        return {piece.layer for piece in self.transform.rewrite(share(model), step, known).before}

    def steps(self, site: Site) -> list[Step]:
        """Return steps at ``site`` from the lowest to the highest settings; the last removes nothing."""
        return [Step(transform=site.transform, layers=site.layers, settings=chosen) for chosen in settings_of(site)]


def settings_of(site: Site) -> list[Settings]:
    """Return settings of ``site`` from the lowest of all its knobs over middle and break-even to the highest."""
    found: list[Settings] = []
    for place in ("low", "middle", "even", "high"):
        values: dict[str, object] = {}
        for knob in site.knobs:
            low, high = knob.low or 0, knob.high or 0
            value = {"low": low, "middle": (low + high) / 2, "even": knob.break_even or high, "high": high}[place]
            values[knob.name] = int(value) if knob.kind == "int" else value
            if knob.kind == "choice":
                values[knob.name] = knob.choices[len(found) % len(knob.choices)]
        if settings(values) not in found:
            found.append(settings(values))
    return found


@dataclass(frozen=True, slots=True)
class MetricContract:
    """The promises of a metric. It must be registered."""

    metric: Metric

    def check(self, known: Profile) -> float:
        """Check them on one profile and return the number."""
        assert METRICS[self.metric.name] is self.metric, "it is registered under another name"
        assert self.metric.title.strip(), "it has no title"
        assert self.metric.better in ("lower", "higher"), f"better is {self.metric.better!r}"
        value = self.metric.measure(known)
        assert isinstance(value, float), f"{value!r} is {type(value).__name__}; a float was expected"
        assert not math.isnan(value), "it is not a number"
        assert self.metric.measure(known) == value, "it answers otherwise the second time"
        copied = Profile.from_dict(json.loads(json.dumps(known.to_dict())))
        assert self.metric.measure(copied) == value, "it reads something that a saved profile does not hold"
        return value


@dataclass(frozen=True, slots=True)
class ViewContract:
    """The promises of a view that is not live. It must be registered."""

    view: View

    def check(self, record: Record) -> object:
        """Check them on one record and return what was drawn."""
        assert any(view is self.view for _, view in VIEWS.items()), "it is not registered"
        assert isinstance(record, self.view.shows), f"it shows {self.view.shows.__name__}, not {type(record).__name__}"
        before = json.dumps(record.to_dict())
        drawn = self.view.draw(record)
        assert json.dumps(record.to_dict()) == before, "drawing changed the record"
        if self.view.medium == "figure":
            assert hasattr(drawn, "to_plotly_json"), f"a {type(drawn).__name__} is no plotly figure"
        if self.view.medium in ("text", "html"):
            assert isinstance(drawn, str), f"it draws {type(drawn).__name__}; text was expected"
            assert self.view.draw(record) == drawn, "it draws otherwise the second time"
        if self.view.medium == "html":
            page = self.view.draw(hostile(record))
            assert HOSTILE not in page, "a layer name reaches the page as markup"
            assert "&lt;script&gt;" in page, "no layer name is shown, so that nothing about escaping was seen"
        return drawn


_PATHS = ("name", "aliases", "layer", "layers", "tied_to", "inference_peak_at", "training_peak_at")
_SENTENCES = ("model", "title", "headline", "reason", "warnings", "text", "notes", "message", "note", "obstacle")
_SPOILED = frozenset((*_PATHS, *_SENTENCES))


def hostile(record: R) -> R:
    """Return the record with a script tag behind every part of every name and sentence in it."""
    return type(record).from_dict(_spoiled(record.to_dict(), spoil=False))


def _spoiled(value: Any, *, spoil: bool) -> Any:
    if isinstance(value, dict):
        return {key: _spoiled(item, spoil=key in _SPOILED) for key, item in value.items()}
    if isinstance(value, list):
        return [_spoiled(item, spoil=spoil) for item in value]
    if not spoil or not isinstance(value, str) or not value:
        return value
    return ".".join(
        part + HOSTILE for part in value.split(".")
    )  # a layer's parent is still the one before its last dot


def _outputs(model: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    return list(tensors_in(answer(stand_in(model), as_call(inputs))))
