"""A compressed model runs where effwidgets is absent: its modules are torch's own, or carry their code."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from effwidgets.profiling import ProfileOptions
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site
from effwidgets.search.advice.places import Place, step_at
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS

_ELSEWHERE = """
    import sys, pathlib, warnings
    sys.modules["effwidgets"] = None  # any import of it raises
    import torch
    torch.set_num_threads(1)
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pt")):
        model, x, wanted = torch.load(path, weights_only=False)
        with torch.no_grad():
            given = model(x)
        assert torch.equal(given, wanted), path.stem
        print(path.stem)
"""


def _pictures() -> tuple[nn.Module, torch.Tensor]:
    def block(into: int, out: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(into, out, 3, padding=1),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )

    model = nn.Sequential(
        block(3, 16), block(16, 16), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 16, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    # Pictures of many colours: what differs between them lies in their means too, so that a pooled head can stand.
    return model.eval(), torch.randn(32, 3, 8, 8) + 4 * torch.randn(32, 3, 1, 1)


def _words() -> tuple[nn.Module, torch.Tensor]:
    model = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))
    return model.eval(), torch.randint(0, 64, (4, 8))


def _first(name: str, folder: Path) -> bool:
    # Apply the technique at its first site of each model and write the result down.
    done = False
    for build in (_pictures, _words):
        torch.manual_seed(0)
        model, x = build()
        known = profile(model, x, options=ProfileOptions(second_opinion=True))
        site = next((found for found in TRANSFORMS[name].sites(known) if isinstance(found, Site)), None)
        if site is None:
            continue
        step = step_at(Place(TRANSFORMS[name], site), 0.5)
        data = x if getattr(TRANSFORMS[name], "needs_calibration", False) else None  # random weights: no fit is good
        applied = apply(model, Plan(steps=(step,)), x, calibration=data, known=known)
        assert applied.edits, applied.skipped
        edited = applied.model.eval()
        with torch.no_grad():
            torch.save((edited, x, edited(x)), folder / f"{name}-{build.__name__}.pt")
        done = True
    return done


@pytest.mark.slow
def test_a_compressed_model_runs_without_effwidgets(tmp_path: Path) -> None:
    # `fuse` is left out: a compiled model compiles again where it is loaded, for a minute. `reversible` warns.
    names = [name for name in TRANSFORMS if name not in ("fuse", "reversible")]
    missing = [name for name in names if not _first(name, tmp_path)]
    assert not missing, f"no site here: {missing}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_ELSEWHERE), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == len(list(tmp_path.glob("*.pt")))
