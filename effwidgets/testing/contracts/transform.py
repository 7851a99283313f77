"""What every transformation promises."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import Inputs, as_call, tensors_in
from effwidgets.profiling.profile import profile
from effwidgets.profiling.shadow import share
from effwidgets.records import Plan, Profile, Site, Skip, Step, settings
from effwidgets.testing.contracts.settings import settings_of
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.apply import LEFT_OUT, Applied, apply, hypothetical
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import Foresees, foresee
from effwidgets.transforms.recipes.architecture import architecture_of
from effwidgets.transforms.recipes.recipe import load, save
from effwidgets.transforms.trial import answer, stand_in
from effwidgets.transforms.verify import reference_of

__all__ = ["PLAIN", "TransformContract"]

PLAIN = ("torch.nn.", "torch.ao.nn.", "torch.fx.", "torch.distributed.algorithms._checkpoint.")
"""Where the classes of inserted modules come from: with any of these a model runs where effwidgets is absent."""


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
            self.check_caller_untouched(model, inputs, sites[0], known)
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
        for step in self.steps(site, known)[1:-1]:
            found = hypothetical(model, Plan(steps=(step,)), inputs, known=known)
            assert not any(note.startswith(LEFT_OUT) for note in found.notes), found.notes
            self._check_estimate(step, known, found)

    def _check_estimate(self, step: Step, known: Profile, found: Profile) -> None:
        estimate, change = self.transform.estimate(known, step), found.cost - known.cost
        for name in self.transform.exact:
            said, is_so = getattr(estimate, name), getattr(change, name)
            assert said == is_so, f"{step}: {name} estimated {said}, is {is_so}"
        if isinstance(self.transform, Foresees):
            self._check_foreseen(step, known, found)

    def _check_foreseen(self, step: Step, known: Profile, found: Profile) -> None:
        # Where in the model bytes are saved is not promised layer by layer: an operation of a parent keeps them too.
        seen = foresee(known, step)
        for name in self.transform.exact:
            said, is_so = getattr(seen.cost, name), getattr(found.cost, name)
            assert said == is_so, f"{step}: {name} foreseen {said}, is {is_so}"
        assert [layer.name for layer in seen.layers] == [layer.name for layer in found.layers], f"{step}: other layers"
        for said, is_so in zip(seen.layers, found.layers, strict=True):
            where = f"{step}: {said.name or 'the model itself'}"
            assert said.kind == is_so.kind, f"{where}: foreseen {said.kind}, is {is_so.kind}"
            assert said.tensors == is_so.tensors, f"{where}: foreseen {said.tensors}, is {is_so.tensors}"
            for name in self.transform.exact - {"saved_bytes"}:
                one, other = getattr(said.self_cost, name), getattr(is_so.self_cost, name)
                assert one == other, f"{where}: {name} foreseen {one}, is {other}"

    def check_edit(self, model: nn.Module, inputs: Inputs, site: Site, known: Profile) -> None:
        """The smallest setting can be done, as estimated; the largest one removes nothing.

        The edit inserts plain torch and writes into nothing old; its plan survives JSON, its recipe rebuilds it.
        """
        steps = self.steps(site, known)
        first, last = steps[0], steps[-1]
        self._check_writes(model, inputs, first, known)
        small = self._applied(model, inputs, first, known)
        with tempfile.TemporaryDirectory() as folder:
            loaded = load(save(small, Path(folder) / "recipe"), model)
        assert architecture_of(loaded) == architecture_of(small.model), f"{first}: load builds another architecture"
        for new, saved in zip(_outputs(loaded, inputs), _outputs(small.model, inputs), strict=True):
            assert torch.equal(new, saved), f"{first}: the loaded model answers otherwise"
        if self.lossless and any(knob.kind == "int" for knob in site.knobs):
            full = self._applied(model, inputs, last, known)
            expected, near = reference_of(model, as_call(inputs))
            for new, wanted in zip(_outputs(full.model, inputs), expected, strict=True):
                off = float((new.double() - wanted.double()).norm())
                assert off <= near * float(wanted.double().norm()), f"{last}: nothing removed, outputs {off:.2g} apart"

    def _applied(self, model: nn.Module, inputs: Inputs, step: Step, known: Profile) -> Applied:
        plan = Plan(steps=(step,))
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan, "the plan does not survive JSON"
        applied = apply(model, plan, inputs, calibration=self._data(inputs), repair=False, known=known)
        assert applied.edits, f"{step} was skipped: {applied.skipped}"
        old = {type(module) for module in model.modules()} | getattr(self.transform, "inserts", frozenset())
        for name, module in applied.model.named_modules():
            plain = type(module).__module__.startswith(PLAIN)
            assert plain or type(module) in old, f"{step} puts a {type(module)} at {name}; torch.nn was expected"
        self._check_estimate(step, known, applied.profile)
        return applied

    def _check_writes(self, model: nn.Module, inputs: Inputs, step: Step, known: Profile) -> None:
        work, original = share(model), share(model)
        before = state_of(original)
        edit = self.transform.rewrite(work, step, known)
        self.transform.fit(work, original, edit, self._data(inputs))
        changed = before.differences(state_of(original))
        assert not changed, f"{step} changes the model that it was copied from: {changed}"

    def check_caller_untouched(self, model: nn.Module, inputs: Inputs, site: Site, known: Profile) -> None:
        """The caller's model and the random state are as they were, also when something raises in the middle."""
        plan = Plan(steps=tuple(self.steps(site, known)[:2]))
        before = state_of(model)
        slow = getattr(self.transform, "compiles", False)  # with data it compiles each model, which takes seconds
        apply(model, plan, inputs, calibration=None if slow else as_call(inputs))
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
        one = self.steps(sites[0], known)[0]
        touched = self._touched(model, one, known)
        other = next(
            (
                step
                for site in sites[1:]
                if not touched & self._touched(model, step := self.steps(site, known)[0], known)
            ),
            None,
        )
        if other is None:
            return
        first, second = (
            apply(model, Plan(steps=steps), inputs, calibration=self._data(inputs), repair=False, known=known)
            for steps in ((one, other), (other, one))
        )
        assert len(first.edits) == len(second.edits) == 2, (first.skipped, second.skipped)
        assert architecture_of(first.model) == architecture_of(second.model), f"{one} and {other} do not commute"
        if self._data(inputs) is not None:
            return  # what is fitted to data depends on what stood before it
        for name, tensor in first.model.state_dict().items():
            assert torch.equal(tensor, second.model.state_dict()[name]), (
                f"{name} depends on the order of {one}, {other}"
            )

    def _touched(self, model: nn.Module, step: Step, known: Profile) -> set[str]:
        return {piece.layer for piece in self.transform.rewrite(share(model), step, known).before}

    def steps(self, site: Site, known: Profile) -> list[Step]:
        """Return steps at ``site`` from the lowest to the highest settings; the last removes nothing."""
        steps = [Step(transform=site.transform, layers=site.layers, settings=chosen) for chosen in settings_of(site)]
        return [self._allowed(step, known) for step in steps]

    @property
    def lossless(self) -> bool:
        """Whether the largest settings leave the function as it is, as most do; one that refits a block does not."""
        return bool(getattr(self.transform, "lossless", True))

    def _data(self, inputs: Inputs) -> Calibration | None:
        needed = getattr(self.transform, "needs_calibration", False)
        return Calibration(batches=(as_call(inputs),)) if needed else None

    def _allowed(self, step: Step, known: Profile) -> Step:
        # What saves nothing is refused unless it is asked for all the same.
        try:
            self.transform.estimate(known, step)
        except TransformError:
            return dataclasses.replace(step, settings=settings(dict(step.settings), anyway=True))
        return step


def _outputs(model: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    return list(tensors_in(answer(stand_in(model), as_call(inputs))))
