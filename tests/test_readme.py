"""The README's Python runs as it stands there, from the first block to the last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from effwidgets.magics import effdl

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


class MyModel(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 8))


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = MyModel(), torch.randn(16, 32)
    target = model(x).argmax(1)
    return {
        "model": model,
        "x": x,
        "loader": [x[:8], x[8:]],
        "MyModel": MyModel,
        "accuracy": lambda candidate: (candidate(x).argmax(1) == target).double().mean().item(),
    }


def test_there_are_blocks_of_both_kinds() -> None:
    assert any("%effdl" in block for block in BLOCKS)
    assert any("import" in block for block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][:40])
def test_the_block_runs(block: str, names: dict[str, Any]) -> None:
    for line in (line.split("#")[0].strip() for line in block.splitlines() if line.startswith("%effdl ")):
        assert effdl(line.removeprefix("%effdl "), names=names) is not None
    code = "\n".join(line for line in block.splitlines() if not line.startswith("%"))
    exec(compile(code.replace(".show()", ""), str(README), "exec"), names)
    if "load(" in code:
        assert torch.isfinite(names["model"](names["x"])).all()
