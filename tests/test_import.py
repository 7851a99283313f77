"""`import effwidgets` is light, and touches nothing of Jupyter."""

from __future__ import annotations

import subprocess
import sys

HEAVY = [
    "IPython",
    "ipywidgets",
    "anywidget",
    "plotly",
    "pandas",
    "optuna",
    "fvcore",
    "torch_pruning",
    "safetensors",
    "jupyter_client",
    "comm",
]


def python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_importing_loads_no_jupyter_and_no_heavy_library() -> None:
    loaded = python(f"import sys, effwidgets; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded == "[]"


def test_importing_works_without_the_built_front_end() -> None:
    assert python("import sys, effwidgets; print('effwidgets.widgets.views' in sys.modules)") == "False"
