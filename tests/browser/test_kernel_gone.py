"""Journey D: the kernel restarts and the page is loaded again; what was measured is still there to be read."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, Notebook
from tests.browser.pages import SMALL_CNN, live

pytestmark = pytest.mark.browser

CELLS = [
    SMALL_CNN,
    "%load_ext effwidgets\nfrom effwidgets import SearchOptions, explore, suggest",
    "%effdl profile model x",
    "plans = tuple(suggest(model, x).plan(index) for index in range(3))",
    "def evaluate(m):\n    return m(x).softmax(1).max().item()",
    "study = explore(model, x, evaluate=evaluate, options=SearchOptions(plans=plans))\nstudy.start()\nstudy",
]


def saved(lab: Lab, name: str, text: str) -> None:
    deadline = time.monotonic() + 15
    while text not in (lab.work / name).read_text():
        assert time.monotonic() < deadline, f"{name} was not saved"
        time.sleep(0.1)


def results_are_read(profiled: Locator, searched: Locator) -> None:
    table = profiled.locator(".effdl-static")
    expect(table).to_be_visible()
    expect(table).to_contain_text("stem")
    expect(table).to_contain_text("170 k")
    front = searched.locator(".effdl-result")
    expect(front).to_be_visible()
    expect(front).to_contain_text("finished")


def test_static_results_outlive_the_kernel_and_the_page(lab: Lab, page: Page) -> None:
    notebook = Notebook(lab, page, lab.write("gone.ipynb", CELLS))
    for index in range(5):
        notebook.run(index)
    table, front = live(notebook.cell(2), "layers"), live(notebook.run(5), "pareto")
    expect(front).to_contain_text("Finished", timeout=60_000)
    expect(notebook.cell(5).locator(".effdl-result")).to_be_visible()
    expect(notebook.cell(2).locator(".effdl-static")).to_be_hidden()
    page.keyboard.press("Control+s")
    saved(lab, "gone.ipynb", "effdl-result")

    notebook.menu("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    for view, cell in ((table, notebook.cell(2)), (front, notebook.cell(5))):
        expect(cell.get_by_role("status").filter(has_text="The kernel is gone")).to_be_visible(timeout=30_000)
        expect(view).to_be_visible()
        expect(cell.locator(".effdl-gone")).to_have_css("opacity", re.compile(r"^0\.\d+$"))
    expect(table.get_by_role("button", name="Suggest")).to_be_disabled()
    results_are_read(notebook.cell(2), notebook.cell(5))
    notebook.cell(2).scroll_into_view_if_needed()
    notebook.screen("gone-restarted")

    page.reload()
    notebook.wait_shown()
    expect(page.locator(".effdl-view")).to_have_count(0)
    results_are_read(notebook.cell(2), notebook.cell(5))
    notebook.cell(5).locator(".effdl-result").scroll_into_view_if_needed()
    notebook.screen("gone-reloaded")
