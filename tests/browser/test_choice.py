"""Journey B: a person reads suggestions, ticks some, applies, undoes, saves, and loads in a fresh process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, Notebook
from tests.browser.pages import SMALL_CNN, live

pytestmark = pytest.mark.browser

CELLS = [
    SMALL_CNN,
    "%load_ext effwidgets\nimport effwidgets",
    "%effdl suggest model x",
    "applied = %effdl apply model\nprint(applied.profile.cost.macs, len(applied.edits))",
    "effwidgets.save(applied, 'small')\nprint(applied.model(torch.ones(2, 3, 8, 8)).double().sum().item())",
    "print(effwidgets.session_of(model).applied)",
]
FRESH = """
import sys, torch
from effwidgets import load
exec(open(sys.argv[1]).read())
small = load(sys.argv[2], Net)
print(small(torch.ones(2, 3, 8, 8)).double().sum().item())
"""


def test_suggestions_are_ticked_applied_undone_and_saved(lab: Lab, page: Page, tmp_path: Path) -> None:
    notebook = Notebook(lab, page, lab.write("choice.ipynb", CELLS))
    notebook.run(0)
    notebook.run(1)
    view = live(notebook.run(2), "suggestions")
    expect(view).to_be_visible()
    view.scroll_into_view_if_needed()
    families = view.locator("[data-family]").evaluate_all("nodes => nodes.map(node => node.dataset.family)")
    assert {"factorize", "prune", "bottleneck"} <= set(families)

    boxes = view.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    expect(view).to_contain_text(re.compile(r"2 chosen: .*FLOPs"), timeout=20_000)
    notebook.screen("suggestions-light")

    view.get_by_role("button", name="Apply 2").click()
    expect(view).to_contain_text(re.compile(r"Applied 2"), timeout=30_000)
    with lab.kernel() as kernel:
        ours = "effwidgets.session_of(model).applied"
        assert kernel.read(f"len({ours}.edits)") == 2
        assert kernel.read(f"{ours}.profile.cost.macs < {ours}.before.cost.macs")
        assert kernel.read("sum(p.numel() for p in model.parameters())") == kernel.read(f"{ours}.before.cost.params")
    notebook.screen("suggestions-applied")
    notebook.dark()
    view.scroll_into_view_if_needed()
    notebook.screen("suggestions-dark")
    notebook.dark(on=False)

    printed = notebook.run(3)
    expect(printed).to_contain_text(re.compile(r"\d+ 2"))
    value = notebook.run(4).inner_text().strip()
    model_file = tmp_path / "net.py"
    model_file.write_text(SMALL_CNN)
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH, str(model_file), str(lab.work / "small")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert fresh.stdout.strip() == value  # identical, to the last digit printed

    view.get_by_role("button", name="Undo").click()
    expect(view.get_by_text(re.compile("Applied 2"))).to_have_count(0, timeout=20_000)
    expect(notebook.run(5)).to_contain_text("None")


def test_reasons_for_what_is_skipped_unfold_and_the_goal_is_switched(lab: Lab, page: Page) -> None:
    notebook = Notebook(lab, page, lab.write("goal.ipynb", CELLS))
    notebook.run(0)
    notebook.run(1)
    view = live(notebook.run(2), "suggestions")
    view.get_by_text(re.compile(r"\d+ skipped, why\?")).click()
    expect(view.get_by_role("listitem").first).to_be_visible()
    notebook.screen("suggestions-skipped")
    expect(view.get_by_role("heading")).to_have_text("To make it do less work")
    view.get_by_role("group", name="Goal").get_by_role("button", name="Parameters").click()
    # the heading is drawn from the payload: only the kernel can have changed it
    expect(view.get_by_role("heading")).to_have_text("To make it smaller", timeout=40_000)
    with lab.kernel() as kernel:
        ours = "effwidgets.session_of(model).desk.suggestions"
        assert kernel.read(f"{ours}.goal") == "params"
        found = kernel.read(f"[s.headline for s in {ours}]")
    assert len(found) > 1
    expect(view.get_by_role("list", name="Suggestions").locator(".effdl-headline b")).to_have_text(found)
    notebook.screen("suggestions-params")
