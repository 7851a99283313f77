"""A suggestion in words: what and where, why, how risky, what speaks against it."""

from __future__ import annotations

from typing import Final

from effwidgets.records import Cost, LatencyChange, LayerProfile, Profile, Step

__all__ = ["RISKS", "headline", "no_faster", "reason", "risk_of", "warnings"]

RISKS = (0.02, 0.10, 0.30)
"""Output errors up to which a step is of no, low and middle risk; above the last it is high.

Measured with 78 single steps, repaired and not trained, on a residual network and a perceptron trained on
scikit-learn's digits: up to 0.02 at most 0.3% of the answers changed, up to 0.1 at most 1%, up to 0.3 at most 6%, and
above up to 61%.
It is the error of one step alone; errors of several add up.
"""


def risk_of(error: float | None) -> int:
    """Return 0 none, 1 low, 2 middle, 3 high; an error that could not be measured is high.

    >>> risk_of(0.0), risk_of(0.05), risk_of(None)
    (0, 1, 3)
    """
    return len(RISKS) if error is None else sum(error > limit for limit in RISKS)


def _number(step: Step, name: str) -> int:
    value = dict(step.settings).get(name)
    return value if isinstance(value, int) else 0


def _weight(profile: Profile, step: Step) -> tuple[LayerProfile, tuple[int, ...]]:
    layer = profile.layer(step.layers[0])
    weight = layer.tensor("weight")
    return layer, () if weight is None else weight.shape


_PLAINLY: Final = {
    "drop_block": "Drop {where}, its input goes on as it is",
    "fold_bn": "Fold {norm} into {taker}",
    "checkpoint": "Run {where} again in the backward",
    "int8": "Keep {where} in int8, {mode}",
    "bf16": "Compute {where} in bfloat16",
    "codebook": "Keep {where} as indices of {bits} bits into a codebook",
    "unstructured": "Set {share:.0%} of {where} to zero",
}


def headline(profile: Profile, step: Step) -> str:
    """Say what would be done, and where."""
    where = ", ".join(step.layers)
    match step.transform:
        case "channel_prune":
            group = next(group for group in profile.groups if group.name == step.layers[0])
            kept = _number(step, "channels")
            together = len({member.layer for member in group.members})
            return f"Prune {where}, {group.channels} → {kept} channels ({together} layers change together)"
        case "spatial_svd":
            _, (_, _, high, wide) = _weight(profile, step)
            return f"Split {high}×{wide} into {high}×1 and 1×{wide}, {where}, rank {_number(step, 'rank')}"
        case "bottleneck":
            _, (out, into, *_) = _weight(profile, step)
            inner = f"{_number(step, 'rank_in')} → {_number(step, 'rank_out')}"
            return f"Bottleneck {where}, {into} → {inner} → {out} channels"
        case "low_rank":
            layer, (out, into, *_) = _weight(profile, step)
            return f"Split {layer.kind} {into} → {out} into two, {where}, rank {_number(step, 'rank')}"
    if step.transform in _PLAINLY:
        pair = sorted(step.layers, key=lambda name: "Norm" not in profile.layer(name).kind)  # they stand as they run
        ends = {"where": where, "norm": pair[0], "taker": pair[-1]}
        return _PLAINLY[step.transform].format(**ends, **dict(step.settings)).replace("_only", " only")
    values = ", ".join(f"{name} {value}" for name, value in step.settings)
    return f"{step.transform} {where}{', ' if values else ''}{values}"


def reason(profile: Profile, step: Step, error: float | None, energy: float | None, otherwise: str) -> str:
    """Say in one sentence what was measured; ``otherwise`` stands for techniques that we know no words for."""
    return f"{_kept(profile, step, energy) or otherwise}; {_moved(error)}."


def _kept(profile: Profile, step: Step, energy: float | None) -> str:
    if energy is None:
        return ""
    if step.transform == "channel_prune":
        group = next(group for group in profile.groups if group.name == step.layers[0])
        gone = group.channels - _number(step, "channels")
        return f"The {gone} weakest channels carry {1 - energy:.0%} of the energy of the weights that read them"
    pairs = _ranks(profile, step)
    text = " and ".join(f"{_number(step, name)} of {full}" for name, full in pairs)
    what = "rank" if len(pairs) == 1 else "ranks"
    return f"Keeps {energy:.0%} of the weight's energy at {what} {text}" if pairs else ""


def _ranks(profile: Profile, step: Step) -> tuple[tuple[str, int], ...]:
    # By setting, the full rank.
    _, shape = _weight(profile, step)
    match step.transform, shape:
        case "low_rank", (out, into, *_):
            return (("rank", min(out, into)),)
        case "spatial_svd", (out, into, high, wide):
            return (("rank", min(into * high, out * wide)),)
        case "bottleneck", (out, into, *_):
            return ("rank_in", into), ("rank_out", out)
    return ()


def _moved(error: float | None) -> str:
    if error is None:
        return "the outputs are all zero, so their change says nothing"
    if error < 0.0005:  # what would be written as 0.0%
        return "the outputs stay as they are"
    return f"the outputs move by {error:.1%}" if error < 0.01 else f"the outputs move by {error:.0%}"


def no_faster(found: LatencyChange) -> str:
    """Say that a step does not make the model faster, with what was measured.

    >>> no_faster(
    ...     LatencyChange(before_s=1.0, after_s=1.25, error_s=0.125, whole_s=10.0, repeats=9, device="cpu", threads=1)
    ... )
    "This will not be faster: +2.5% ± 1.2% of the model's time, measured on cpu with 1 thread."
    """
    where = f"measured on {found.device} with {found.threads} thread{'s' * (found.threads != 1)}"
    if found.change_s == 0 == found.error_s:
        return f"This will not be faster: the same work is done ({found.device})."
    error = found.error_s / found.whole_s if found.whole_s > 0 else 0.0
    return f"This will not be faster: {found.share:+.1%} ± {error:.1%} of the model's time, {where}."


def warnings(
    profile: Profile, change: Cost, *, repaired: bool, latency: LatencyChange | None = None
) -> tuple[str, ...]:
    """Return the bad news, in plain words."""
    found = []
    if latency is not None and not latency.faster:
        found.append(no_faster(latency))
    if change.params > 0:
        found.append("It has more parameters than before.")
    if change.macs > 0:
        found.append("It takes more MACs than before.")
    if not repaired and any(layer.kind.removeprefix("Sync").startswith("BatchNorm") for layer in profile.layers):
        found.append("Batch-norm statistics will need re-estimation: give calibration data.")
    return tuple(found)
