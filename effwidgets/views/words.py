"""Steps, settings and modules in the words of a reader; architecture diffs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from effwidgets.records import Edit, Piece, Plain, Skip, Step
from effwidgets.units import bytes_text, count_text, seconds_text
from effwidgets.views.families import family, family_of
from effwidgets.views.wire import DiffRow, ParetoPayload, StepRow, SuggestionRow

__all__ = [
    "GOALS",
    "amount",
    "clip",
    "common_warnings",
    "diff_rows",
    "diff_text",
    "is_share",
    "module_text",
    "places",
    "plan_text",
    "progress_text",
    "risk_text",
    "score_text",
    "score_writer",
    "settings_text",
    "share",
    "shown_name",
    "skip_text",
    "step_row",
]

GOALS = {
    "macs": "FLOPs",
    "params": "Parameters",
    "param_bytes": "Parameter bytes",
    "inference_peak_bytes": "Inference peak",
}
"""What a cost field is called on screens. FLOPs are 2 x MACs."""

_FURTHER = {"saved_bytes": "Training memory", "download_bytes": "Download", "latency_s": "Latency"}

_VERBS = {
    "low_rank": "Low rank",
    "spatial_svd": "Split",
    "bottleneck": "Bottleneck",
    "channel_prune": "Prune",
}
_RISKS = ("none", "low", "middle", "high")
_FEW = 3  # steps that a label still names one by one
_CRITERIA = {"l2": "smallest L2 norm first", "l1": "smallest L1 norm first", "bn": "smallest batch-norm scale first"}
_PRODUCER = re.compile(r"^(?:Linear|Conv\w*)\((?:in_features=)?(\d+), (?:out_features=)?(\d+)")
_SIZED = re.compile(r"^(\w*Norm\w*|Embedding|NonDynamicallyQuantizableLinear)\(\(?(\d+)(?:, (\d+))?")


_SHARES = re.compile("acc|f1|auc|precision|recall|iou|map|top", re.IGNORECASE)


def shown_name(key: str) -> str:
    """Return what a cost field or a score is called on screens.

    >>> shown_name("macs"), shown_name("my_metric")
    ('FLOPs', 'my metric')
    """
    return GOALS.get(key) or _FURTHER.get(key, key.replace("_", " "))


def risk_text(risk: int, error: float | None) -> str:
    """Write a risk in one word; without a measured error nothing is said.

    >>> risk_text(1, 0.02), risk_text(0, None)
    ('low', '–')
    """
    return "–" if error is None and risk <= 0 else _RISKS[min(max(risk, 0), 3)]


def common_warnings(rows: Sequence[SuggestionRow]) -> list[str]:
    """Return the warnings that every suggestion carries: they are said once, not on each row."""
    shared = [text for text in rows[0]["warnings"] if all(text in row["warnings"] for row in rows)] if rows else []
    return shared if len(rows) > 1 else []


def share(change: float, whole: float) -> float:
    """Return a change as a fraction of the whole; 0 where there is no whole."""
    return change / whole if whole else 0.0


def amount(key: str, value: float | None) -> str:
    """Write a cost with its unit; MACs, of whichever pass, are shown as FLOPs = 2 x MACs.

    >>> amount("macs", 1_000_000), amount("backward_macs", 1_000_000), amount("param_bytes", 4_000)
    ('2.00 M', '2.00 M', '4.00 kB')
    """
    if value is None:
        return "–"
    if key.endswith("_bytes"):
        return bytes_text(value)
    if key.endswith("_s"):
        return seconds_text(value)
    return count_text(2 * value if key.endswith("macs") else value)


def is_share(metric: str, values: Iterable[float | None]) -> bool:
    """Say whether a score is written as a percentage: it is called an accuracy or alike, and lies between 0 and 1.

    >>> is_share("accuracy", [0.5, None, 1.0]), is_share("loss", [0.5]), is_share("accuracy", [97.5])
    (True, False, False)
    """
    return _SHARES.search(metric) is not None and all(value is None or 0 <= value <= 1 for value in values)


def score_text(value: float | None, *, as_share: bool = False) -> str:
    """Write a score: as a percentage to a tenth, else to four digits; what is not there is a dash.

    >>> score_text(0.98333), score_text(0.98333, as_share=True), score_text(None)
    ('0.9833', '98.3%', '–')
    """
    return "–" if value is None else f"{value:.1%}" if as_share else f"{value:.4g}"


def score_writer(data: ParetoPayload) -> Callable[[float | None], str]:
    """Return how the scores of one search are written, all in the same way."""
    as_share = is_share(data["metric"], [row["values"]["score"] for row in data["candidates"]])
    return lambda value: score_text(value, as_share=as_share)


def progress_text(data: ParetoPayload) -> str:
    """Write how far a search is."""
    parts = [data["state"], f"{data['done']} of {data['planned']}" if data["planned"] else f"{data['done']} done"]
    if data["seconds_left"] is not None and data["state"] == "running":
        parts.append(f"{seconds_text(data['seconds_left'])} left")
    if data["failed"]:
        parts.append(f"{data['failed']} failed")
    return " · ".join(parts)


def clip(text: str, length: int = 80) -> str:
    """Shorten text in the middle, where a dotted path says least.

    >>> clip("model.layers.0.self_attn.q_proj", 20)
    'model.laye…tn.q_proj'
    """
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[-(length - head - 1) :]}"


def places(layers: Sequence[str], *, most: int = 3) -> str:
    """Name layers: a few by name, the rest by number.

    >>> places(["a", "b"]), places(["a", "b", "c", "d", "e"]), places([""])
    ('a, b', 'a, b, c and 2 more', 'the model itself')
    """
    named = [clip(layer, 60) or "the model itself" for layer in layers]
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def settings_text(step: Step, edit: Edit | None = None) -> str:
    """Write a step's settings in words; with the edit that came of it, what there was before too.

    >>> from effwidgets.records import settings
    >>> settings_text(Step(transform="low_rank", layers=("fc",), settings=settings(rank=16)))
    'rank 16'
    """
    values = dict(step.settings)
    if step.transform == "channel_prune" and "channels" in values:
        criterion = _CRITERIA.get(str(values.get("criterion")))
        return ", ".join(filter(None, (_channels_text(values["channels"], edit), criterion)))
    if step.transform == "bottleneck" and {"rank_in", "rank_out"} <= values.keys():
        return f"{values['rank_in']} → {values['rank_out']} channels inside"
    return ", ".join(f"{name.replace('_', ' ')} {_value_text(value)}" for name, value in step.settings)


def _value_text(value: Plain) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " × ".join(_value_text(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _channels_text(channels: Plain, edit: Edit | None) -> str:
    before = None if edit is None else _width_before(edit)
    return f"{channels} channels kept" if before is None else f"{before} → {channels} channels"


def _width_before(edit: Edit) -> int | None:
    # The group carries the name of the layer that produces its channels; its outputs are what was pruned.
    for piece in edit.before:
        if piece.layer in edit.step.layers and (match := _PRODUCER.match(piece.text)):
            return int(match[2])
    return None


def module_text(text: str) -> str:
    """Write a module's ``repr`` shorter: what it is and its sizes; other modules as they are, clipped.

    >>> module_text("Conv2d(64, 128, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)")
    'Conv2d 3×3, 64 → 128, stride 2'
    >>> module_text("Linear(in_features=512, out_features=10, bias=True)"), module_text("BatchNorm2d(64, eps=1e-05)")
    ('Linear 512 → 10', 'BatchNorm2d 64')
    """
    kind = text.partition("(")[0]
    if match := _PRODUCER.match(text):
        kernel = "×".join(_tuple_of(text, "kernel_size"))
        stride = _tuple_of(text, "stride")
        groups = re.search(r"groups=(\d+)", text)
        words = [f"{kind} {kernel}," if kernel else kind, f"{match[1]} → {match[2]}"]
        tail = [f"stride {'×'.join(dict.fromkeys(stride))}"] if set(stride) - {"1"} else []
        tail += [f"groups {groups[1]}"] if groups and groups[1] != "1" else []
        return ", ".join([" ".join(words), *tail])
    if match := _SIZED.match(text):
        return f"{match[1]} {match[2]}" + (f" → {match[3]}" if match[3] else "")
    return clip(" ".join(text.split()))


def _tuple_of(text: str, name: str) -> list[str]:
    match = re.search(rf"{name}=\(([\d, ]+)\)", text)
    return re.findall(r"\d+", match[1]) if match else []


def step_row(step: Step, edit: Edit | None = None) -> StepRow:
    """Return a step in words, for the page."""
    return {
        "transform": step.transform,
        "family": family_of(step.transform),
        "layers": list(step.layers),
        "settings": settings_text(step, edit),
    }


def plan_text(steps: Sequence[Step], edits: Iterable[Edit] = ()) -> str:
    """Name what a plan does: one step with its setting, a few by where, many by how many there are of each family.

    >>> plan_text(()), plan_text([Step(transform="low_rank", layers=(name,)) for name in ("a", "b")])
    ('Dense model', 'Low rank a · Low rank b')
    """
    if not steps:
        return "Dense model"
    if len(steps) == 1:
        edit = next((edit for edit in edits if edit.step == steps[0]), None)
        said = settings_text(steps[0], edit).partition(", ")[0]
        return _where(steps[0]) + (f", {said}" if said else "")
    if len(steps) <= _FEW:
        return " · ".join(map(_where, steps))
    names = [family_of(step.transform) for step in steps]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    return ", ".join(f"{family(name).title} {count} place{'s' * (count > 1)}" for name, count in counts.items())


def _where(step: Step) -> str:
    return f"{_verb(step.transform)} {places([clip(layer, 40) for layer in step.layers], most=1)}"


def _verb(transform: str) -> str:
    return _VERBS.get(transform) or transform.replace("_", " ").capitalize()


def skip_text(skip: Skip) -> str:
    """Write a place where nothing was done, and why."""
    if not skip.transform:
        return skip.reason
    return f"{_verb(skip.transform)} {places(skip.layers, most=1)}: {skip.reason}"


def diff_text(row: DiffRow) -> str:
    """Write one place of an architecture diff on one line."""
    gone, come = " + ".join(row["before"]) or "nothing", " + ".join(row["after"]) or "nothing"
    return f"{clip(row['layer'], 60) or 'the model itself'}: {gone}  ⟶  {come}"


def diff_rows(edits: Iterable[Edit]) -> list[DiffRow]:
    """Return the architecture before and after, one row for each module that an edit changed."""
    return [row for edit in edits for row in _edit_rows(edit)]


def _edit_rows(edit: Edit) -> list[DiffRow]:
    homes = {piece.layer for piece in edit.before}
    rows: dict[str, DiffRow] = {}
    for side, pieces in (("before", edit.before), ("after", edit.after)):
        for piece in pieces:
            home = piece.layer if side == "before" else _home(piece, homes)
            row = rows.setdefault(home, {"layer": home, "before": [], "after": []})
            (row["before"] if side == "before" else row["after"]).append(module_text(piece.text))
    return [row for row in rows.values() if row["before"] != row["after"]]


def _home(piece: Piece, homes: set[str]) -> str:
    # A new module stands where an old one stood, or below it ("fc.0" for "fc").
    path = piece.layer
    while path and path not in homes:
        path = path.rpartition(".")[0]
    return path if path in homes else piece.layer
