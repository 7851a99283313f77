"""`import effwidgets` is light, and touches nothing of Jupyter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import effwidgets

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


LIGHT = f"import sys, effwidgets; print([name for name in {HEAVY} if name in sys.modules])"
UNBUILT = """
import sys
sys.path.insert(0, sys.argv[1])
import effwidgets, torch
from effwidgets.errors import EffError
assert effwidgets.__file__.startswith(sys.argv[1]), effwidgets.__file__
profile = effwidgets.profile(torch.nn.Linear(8, 4), torch.zeros(2, 8))
bundle = profile._repr_mimebundle_()
print(profile.cost.macs, sorted(bundle), "Linear" in bundle["text/html"])
try:
    profile.view()
except EffError as error:
    print(error)
profile._ipython_display_()
"""


def python(code: str, *arguments: str) -> str:
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_importing_loads_no_jupyter_and_no_heavy_library() -> None:
    assert python(LIGHT) == "[]"


ON_DEMAND = """
import sys, effwidgets
print([name for name in sys.modules if name.startswith("effwidgets.search")])
print([name for name in effwidgets.__all__ if not hasattr(effwidgets, name) or name not in dir(effwidgets)])
print(effwidgets.search.explore is not None, hasattr(effwidgets, "nothing"))
"""


def test_searches_are_imported_when_they_are_asked_for_and_every_public_name_is_there() -> None:
    assert python(ON_DEMAND).splitlines() == ["[]", "[]", "True False"]


def test_without_the_built_front_end_everything_but_the_live_views_works(tmp_path: Path) -> None:
    built = shutil.ignore_patterns("static", "labextension", "__pycache__")
    shutil.copytree(Path(effwidgets.__file__).parent, tmp_path / "effwidgets", ignore=built)
    counted, fault, *shown = python(UNBUILT, str(tmp_path)).splitlines()
    assert counted == "64 ['text/html', 'text/plain'] True"
    assert "effwidgets/static/views.js" in fault
    assert "npm run build" in fault
    assert any("Linear" in line for line in shown)
