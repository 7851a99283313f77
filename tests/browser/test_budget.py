"""A budget that is set on the page holds in the running search, by keyboard and by mouse, and is lifted again."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Kernel, Lab, Notebook
from tests.browser.pages import SMALL_CNN, live, marks, middle

pytestmark = pytest.mark.browser

CELLS = [
    SMALL_CNN,
    "%load_ext effwidgets\nimport time\nfrom effwidgets import SearchOptions, explore",
    "def evaluate(m):\n    for _ in range(4):\n        m(x)\n        time.sleep(0.05)\n    return m(x).softmax(1).max().item()",
    "study = explore(model, x, evaluate=evaluate, options=SearchOptions(trials=400, sampler='random'))\nstudy.start()\nstudy",
]
BUDGETS = "{b.axis: b.limit for b in study.snapshot().budgets}"


def until(page: Page, kernel: Kernel, what: str) -> None:
    deadline = time.monotonic() + 20
    while not kernel.read(what):
        assert time.monotonic() < deadline, f"not so within 20 s: {what}"
        page.wait_for_timeout(50)


def test_a_budget_on_the_page_holds_in_the_running_search(lab: Lab, page: Page) -> None:
    notebook = Notebook(lab, page, lab.write("budget.ipynb", CELLS))
    for index in range(3):
        notebook.run(index)
    view = live(notebook.run(3), "pareto")
    with lab.kernel() as kernel:
        deadline = time.monotonic() + 90
        while len(marks(page)) < 4:
            assert time.monotonic() < deadline, "no four candidates within 90 s"
            page.wait_for_timeout(100)
        slider = view.get_by_label("Budget")
        slider.focus()
        page.keyboard.press("Home")
        for _ in range(80):
            page.keyboard.press("ArrowRight")
        until(page, kernel, f"0 < {BUDGETS}.get('macs', 0) < study.candidates()[0].cost.macs")
        assert kernel.read("study.snapshot().state") == "running"
        first = kernel.read(BUDGETS)["macs"]

        x, y = middle(view.locator(".effdl-handle"))
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y, steps=4)
        page.mouse.up()
        until(page, kernel, f"{BUDGETS}.get('macs', 0) > {first}")
        notebook.screen("pareto-budget")

        set_from_python = "study.set_budget('params', 0.5) or True"
        assert kernel.read(set_from_python)
        limits = view.get_by_role("group", name="Limits")
        expect(limits).to_contain_text("Parameters ≤")
        view.get_by_role("button", name="No limit for FLOPs").click()
        until(page, kernel, f"list({BUDGETS}) == ['params']")
        view.get_by_role("button", name="Cancel").click()
        expect(view).to_contain_text("Cancelled", timeout=20_000)
    notebook.dark()
    notebook.screen("pareto-budget-dark")
    notebook.dark(on=False)
