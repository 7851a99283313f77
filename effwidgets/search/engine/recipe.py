"""A search as code: the cell that does it again."""

from __future__ import annotations

import dataclasses

from effwidgets.search.engine.options import SearchOptions

__all__ = ["code_of"]

_WIDTH = 88
_OBJECTS = {
    "calibration": "the same calibration data",
    "finetune": "the same training",
    "executor": "an executor like that of the search",
    "plans": "the same plans, in the same order",
}


def code_of(options: SearchOptions, number: int | None = None, store: str | None = None) -> str:
    """Return a cell of Python that searches again as ``options`` say, and applies, saves and loads a candidate.

    What cannot be written down (the model, its inputs, ``evaluate``, data, training) are names that a comment lists.

    Args:
        options: of the search.
        number: the candidate to apply; None: the best that the search finds.
        store: where the search is kept, as it may be told to a reader.

    >>> print(code_of(SearchOptions(seed=3), 7))
    from effwidgets import SearchOptions, explore, load
    <BLANKLINE>
    # Bring your own: model, inputs, evaluate.
    options = SearchOptions(seed=3)
    study = explore(model, inputs, evaluate=evaluate, options=options).run()
    <BLANKLINE>
    applied = study.apply(7)  # .model is a copy of yours, compressed
    study.save(7, "candidate-7")
    small = load("candidate-7", model)
    """
    names = ["model", "inputs", "evaluate"]
    given = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name == "store" and store is not None:
            given.append(f"store={store!r}")
        elif field.name in _OBJECTS and value is not None and not isinstance(value, str):
            names.append(field.name)
            given.append(f"{field.name}={field.name}")
        elif value != default:
            given.append(f"{field.name}={dict(value) if field.name == 'budgets' else value!r}")
    what = "".join(f"\n# {name}: {_OBJECTS[name]}." for name in names if name in _OBJECTS)
    wanted, file = ("number", 'f"candidate-{number}"') if number is None else (str(number), f'"candidate-{number}"')
    best = ["number = study.best().number"] if number is None else []
    lines = [
        "from effwidgets import SearchOptions, explore, load",
        "",
        f"# Bring your own: {', '.join(names)}.{what}",
        _call(given),
        "study = explore(model, inputs, evaluate=evaluate, options=options).run()",
        "",
        *best,
        f"applied = study.apply({wanted})  # .model is a copy of yours, compressed",
        f"study.save({wanted}, {file})",
        f"small = load({file}, model)",
    ]
    return "\n".join(lines)


def _call(given: list[str]) -> str:
    line = f"options = SearchOptions({', '.join(given)})"
    if len(line) <= _WIDTH:
        return line
    inner = "".join(f"\n    {one}," for one in given)
    return f"options = SearchOptions({inner}\n)"
