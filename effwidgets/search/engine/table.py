"""The candidates as a table, for those who go on with pandas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from effwidgets.errors import InputError
from effwidgets.records import Candidate

__all__ = ["rows_of", "table_of"]


def table_of(candidates: Iterable[Candidate]) -> Any:
    """Return a ``pandas.DataFrame`` with one row for each candidate, its number the index.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise InputError("pandas is not installed, and a table of candidates needs it: pip install pandas.") from error
    rows = rows_of(candidates)
    return DataFrame(rows, columns=list(dict.fromkeys(key for row in rows for key in row))).set_index("number")


def rows_of(candidates: Iterable[Candidate]) -> list[dict[str, object]]:
    """Return a row for each candidate: what it is, what it costs, how well it does, what was done.

    Bytes, seconds and multiply-accumulates of one forward; a score is named as ``evaluate`` named it, with
    ``<score>_error`` beside it where that is known.

    >>> from effwidgets.records import Plan
    >>> rows_of([Candidate(number=0, plan=Plan(), rung="dense", state="planned")])[0]["macs"] is None
    True
    """
    return [_row(candidate) for candidate in candidates]


def _row(candidate: Candidate) -> dict[str, object]:
    cost, memory = candidate.cost, candidate.memory
    row: dict[str, object] = {
        "number": candidate.number,
        "state": candidate.state,
        "rung": candidate.rung,
        "source": candidate.source,
        "macs": None if cost is None else cost.macs,
        "params": None if cost is None else cost.params,
        "param_bytes": None if memory is None else memory.param_bytes,
        "inference_peak_bytes": None if memory is None else memory.inference_peak_bytes,
    }
    for score in (*candidate.scores, *candidate.measures):
        row.setdefault(score.metric, score.value)
        if score.error is not None:
            row.setdefault(f"{score.metric}_error", score.error)
    row["seconds"] = candidate.seconds
    row["seed"] = candidate.seed
    row["plan"] = "; ".join(str(step) for step in candidate.plan)
    row["note"] = candidate.note
    return row
