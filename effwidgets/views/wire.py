"""The payloads that cross from Python to the page, one TypedDict each. Keys are never renamed.

A payload is whole: the page draws it from nothing. ``version`` grows when a key changes its meaning.
Numbers are plain (bytes, MACs, seconds, fractions); the page writes them with units.
Names of layers are text from strangers: the page sets them as text, never as markup.
"""

from __future__ import annotations

from typing import Literal, TypedDict

__all__ = [
    "VERSION",
    "CandidateRow",
    "ClimbRow",
    "Columns",
    "DiffRow",
    "LayerTimes",
    "LayerZeros",
    "LayersPayload",
    "ParetoPayload",
    "Preview",
    "SkipRow",
    "Status",
    "StepRow",
    "SuggestionRow",
    "SuggestionsPayload",
    "Totals",
]

VERSION = 1


class Totals(TypedDict):
    """The numbers of a whole model. ``None`` means that it was not measured.

    ``*_at`` names the layer responsible, "" the model itself: for a peak the layer that was running, for what is held
    or kept (``param_at``, ``saved_at``) the one whose own share is the largest.
    """

    params: int
    param_bytes: int
    param_at: str | None
    macs: int
    inference_peak_bytes: int | None
    inference_peak_at: str | None
    saved_bytes: int | None
    saved_at: str | None
    training_peak_bytes: int | None
    training_peak_at: str | None
    optimizer: str | None
    hidden: list[str]
    """Layers whose kernels keep memory out of sight: peaks and saved bytes are at least what they say."""
    latency_s: float | None
    latency_iqr_s: float | None


class Columns(TypedDict):
    """Per layer, one entry each, in the order of ``names``."""

    params: list[int]
    macs: list[int]
    saved_bytes: list[int]
    output_bytes: list[int]
    elementwise_ops: list[int]
    moved_bytes: list[int]


class LayerTimes(TypedDict):
    """Measured times per layer, one entry each, in the order of ``names``; ``None`` where a layer has none."""

    own_s: list[float | None]
    own_iqr_s: list[float | None]
    total_s: list[float | None]
    total_iqr_s: list[float | None]
    repeats: list[int]
    residual_s: float | None
    remark: str
    """How they came about, and what is left of the whole, in a sentence."""
    warning: str | None
    """Why they are not to be trusted, in words."""


class LayerZeros(TypedDict):
    """Zeros among the parameters, in sentences."""

    summary: str
    tensors: list[str]
    """One for each tensor whose zeros are worth a line, the most zeros first."""


class LayersPayload(TypedDict):
    """The layer table. Row 0 is the model itself; parents stand before their children."""

    view: Literal["layers"]
    version: int
    origin: str
    title: str
    inputs: str
    environment: str
    totals: Totals
    partial: bool
    """Parameters only: the model was not run yet."""
    names: list[str]
    labels: list[str]
    kinds: list[str]
    parents: list[int]
    outputs: list[str]
    calls: list[int]
    aliases: list[list[str]]
    own: Columns
    total: Columns
    times: LayerTimes | None
    """Only where the times of layers were measured."""
    zeros: LayerZeros | None
    """Only where zeros were counted."""
    uncounted: list[str]
    notes: list[str]


class StepRow(TypedDict):
    """A step in words."""

    transform: str
    family: str
    layers: list[str]
    settings: str


class DiffRow(TypedDict):
    """One place of the architecture, before and after."""

    layer: str
    before: list[str]
    after: list[str]


class SuggestionRow(TypedDict):
    """One suggestion. The costs are changes, after minus before; ``risk`` is 0 none, 1 low, 2 middle, 3 high."""

    index: int
    transform: str
    family: str
    layers: list[str]
    headline: str
    reason: str
    warnings: list[str]
    params: int
    macs: int
    param_bytes: int
    inference_peak_bytes: int | None
    latency: float | None
    """Measured change of the time of a forward, as a share of it: below 0 is faster."""
    latency_error: float | None
    """Half-width of its 95% interval, a share too."""
    error: float | None
    risk: int
    score: float | None
    """Of ``evaluate`` after it, repaired; None where nobody asked."""
    clashes: list[int]
    """Indices of those that cannot be taken with it."""


class SkipRow(TypedDict):
    """Places where one technique is not offered, for one reason."""

    transform: str
    layers: list[str]
    reason: str


class Status(TypedDict):
    """What is going on behind a view."""

    state: Literal["idle", "working", "done", "failed", "gone"]
    message: str
    done: int
    planned: int


class Preview(TypedDict):
    """A whole model after some suggestions, profiled without being built; or after they were applied."""

    indices: list[int]
    params: int
    macs: int
    param_bytes: int
    inference_peak_bytes: int | None
    skipped: list[str]


class SuggestionsPayload(TypedDict):
    """The suggestion list."""

    view: Literal["suggestions"]
    version: int
    origin: str
    title: str
    goal: str
    goals: list[str]
    totals: Totals
    rows: list[SuggestionRow]
    chosen: list[int]
    """Indices that keep the budget which was asked for; ticked at first."""
    notes: list[str]
    skips: list[SkipRow]
    preview: Preview | None
    applied: Preview | None
    """What was applied last, with the totals of the model it made; None when nothing is."""
    diff: list[DiffRow]
    undo: int
    """How many times Undo can be pressed."""
    status: Status


class ClimbRow(TypedDict):
    """What a candidate scored at another rung; ``score`` is None where it failed there."""

    rung: str
    score: float | None
    seconds: float


class CandidateRow(TypedDict):
    """One mark of the Pareto view."""

    number: int
    label: str
    family: str
    state: Literal["planned", "running", "done", "failed", "cancelled"]
    rung: str
    parent: int | None
    values: dict[str, float | None]
    """By axis key: macs, params, param_bytes, inference_peak_bytes, score, then registered metrics by their names.
    ``None`` where it is not known."""
    errors: dict[str, float]
    """By the same keys: half-width of an interval of about 95%, of those that were measured with one."""
    climbed: list[ClimbRow]
    """The other rungs that it was taken to."""
    source: str
    """Who thought of it: dense, ladder, user, or the sampler."""
    seed: int
    steps: list[StepRow]
    diff: list[DiffRow]
    note: str
    seconds: float


class ParetoPayload(TypedDict):
    """The live Pareto view."""

    view: Literal["pareto"]
    version: int
    origin: str
    title: str
    state: Literal["idle", "running", "paused", "finished", "cancelled", "failed"]
    done: int
    planned: int
    failed: int
    seconds_left: float | None
    message: str
    metric: str
    metric_better: Literal["higher", "lower"]
    axes: list[str]
    """Cost keys that the page can put on the horizontal axis, the default first."""
    candidates: list[CandidateRow]
    dense: int | None
    """Number of the dense model, None until it is there."""
    fronts: dict[str, list[int]]
    """By cost key: numbers of the candidates on the front, from cheap to dear."""
    hypervolume: dict[str, float | None]
    knee: dict[str, int | None]
    applied: int | None
    """Number of the candidate applied last."""
    objectives: list[str]
    """Cost keys that the search is after beside the score; the first is the default axis."""
    budgets: dict[str, float]
    """By cost key: the most that the search wants it to be, in the unit of ``values``."""
    volumes: list[float]
    """Hypervolume along the default axis over the search, at most 200 of the numbers, the last always."""
    contributions: dict[str, float]
    """By technique: the share of that hypervolume that is lost without it."""
