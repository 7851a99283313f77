"""Journey C: the quickstart from its first cell to its last, with the live Pareto view in the middle."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Kernel, Lab, Notebook
from tests.browser.pages import SMALL_CNN, live, marks

pytestmark = pytest.mark.browser

DONE = "[c.number for c in study.candidates() if c.state == 'done']"
FRESH = """
import json, sys
exec(open(sys.argv[1]).read())
from effwidgets import load
print(json.dumps([accuracy(load(path, DigitNet), valid) for path in sys.argv[2:]]))
"""


def place(sources: list[str], text: str) -> int:
    return next(index for index, source in enumerate(sources) if text in source)


def agree(page: Page, kernel: Kernel) -> tuple[str, list[int]]:
    """Wait for a moment at which the page, asked before and after the kernel, shows what the kernel has finished."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        before = marks(page)
        state, finished = kernel.read(f"[study.snapshot().state, {DONE}]")
        if before == sorted(finished) == marks(page):
            return state, before
    raise AssertionError(f"the page drew {before}, the kernel has finished {sorted(finished)}")


def wait_for(page: Page, least: int) -> None:
    deadline = time.monotonic() + 60
    while len(marks(page)) < least:
        assert time.monotonic() < deadline, f"fewer than {least} marks after a minute"
        page.wait_for_timeout(20)


@pytest.fixture
def quickstart(lab: Lab, notebooks: Path) -> list[str]:
    shutil.copy(notebooks / "00-quickstart.ipynb", lab.work / "00-quickstart.ipynb")
    return [cell.source for cell in nbformat.read(notebooks / "00-quickstart.ipynb", as_version=4).cells]


def test_the_quickstart_from_the_first_cell_to_the_last(
    lab: Lab, page: Page, quickstart: list[str], tmp_path: Path
) -> None:
    notebook = Notebook(lab, page, "00-quickstart.ipynb")
    search = place(quickstart, "study.start()")
    for index in range(search):
        run_if_code(notebook, index)
    with lab.kernel() as kernel:
        view = live(notebook.start(search), "pareto")
        expect(view).to_be_visible(timeout=60_000)
        moments = []
        for least in (2, 6, 11):
            wait_for(page, least)
            moments.append(agree(page, kernel))
        notebook.screen("pareto-running")
        assert [state for state, _ in moments] == ["running"] * 3
        assert len({len(numbers) for _, numbers in moments}) == 3

        expect(view).to_contain_text("Finished", timeout=120_000)
        state, numbers = agree(page, kernel)
        assert state == "finished"
        assert len(numbers) == kernel.read(f"len({DONE})")

        hover_and_walk(page, view, kernel)
        chosen = pin_and_read(page, view, kernel)
        notebook.screen("pareto-pinned")
        view.get_by_role("button", name="Apply this one").click()
        expect(view.get_by_role("button", name="Applied", exact=True)).to_be_visible(timeout=30_000)
        assert kernel.read("study.snapshot().applied") == chosen
        saved_models_score_what_is_drawn(kernel, quickstart, tmp_path)

    static = notebook.cell(search).locator(".effdl-result")
    expect(static).to_be_visible()
    static.scroll_into_view_if_needed()
    notebook.screen("pareto-static")
    notebook.dark()
    view.scroll_into_view_if_needed()
    notebook.screen("pareto-dark")
    notebook.dark(on=False)

    for index in range(search + 1, len(quickstart)):
        run_if_code(notebook, index)
    last = notebook.cell(place(quickstart, "dense, kept ="))
    expect(last).to_contain_text(re.compile(r"dense \d+\.\d%\s+small \d+\.\d%"))
    last.scroll_into_view_if_needed()
    notebook.screen("quickstart-end")


def run_if_code(notebook: Notebook, index: int) -> None:
    if "jp-CodeCell" in (notebook.cell(index).get_attribute("class") or ""):
        outputs = notebook.run(index)
        expect(outputs.locator("[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)


def hover_and_walk(page: Page, view: Locator, kernel: Kernel) -> None:
    """The card under the pointer says which candidate it is; the front is walked and pinned by keyboard alone."""
    front = kernel.read("[c.number for c in study.front()]")
    view.scroll_into_view_if_needed()
    view.locator(f"svg [data-number='{front[1]}']").first.hover(force=True)
    expect(view.locator(".effdl-hover")).to_contain_text(f"Candidate {front[1]}")
    stage = view.get_by_role("group", name=re.compile("walk the front"))
    stage.focus()
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    page.keyboard.press("Home")
    walked = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        walked.append(view.get_by_role("group", name="Chosen candidate").get_attribute("data-number"))
    assert len(set(walked)) > 1
    assert {int(number or -1) for number in walked} <= set(front)
    page.keyboard.press("b")  # would insert a cell, if JupyterLab heard it
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    page.keyboard.press("Escape")


def pin_and_read(page: Page, view: Locator, kernel: Kernel) -> int:
    """Click a mark of the front; what the card says is what Python reads."""
    front = kernel.read("[c.number for c in study.front()]")
    number = front[len(front) // 2]
    view.scroll_into_view_if_needed()
    view.locator(f"svg [data-number='{number}']").first.click(force=True)
    card = view.get_by_role("group", name="Chosen candidate")
    expect(card).to_have_attribute("data-number", str(number))
    expect(card).to_contain_text(f"Candidate {number}" if number else "Dense model")
    expect(card).to_contain_text("FLOPs")
    deadline = time.monotonic() + 10
    while kernel.read("list(study.selection)") != [number]:
        assert time.monotonic() < deadline, "the selection did not reach the kernel"
        page.wait_for_timeout(50)
    return int(number)


def saved_models_score_what_is_drawn(kernel: Kernel, sources: list[str], folder: Path) -> None:
    code = [
        source
        for source in sources
        if any(mark in source for mark in ("import torch", "load_digits()", "class ", "def accuracy"))
    ]
    script = folder / "model.py"
    body = "\n\n".join(code).replace("%load_ext effwidgets", "")
    script.write_text(body.split("torch.manual_seed(0)")[0])
    numbers = kernel.read("[c.number for c in study.front() if c.number]")[-3:]
    paths = [str(folder / f"candidate-{number}") for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        kernel.read(f"str(study.save({number}, {path!r}))")
    drawn = kernel.read(f"[study.candidates()[n].score() for n in {numbers}]")
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH, str(script), *paths], capture_output=True, text=True, check=True
    )
    assert json.loads(fresh.stdout) == drawn


def test_a_cancelled_run_keeps_its_candidates_even_inside_evaluate(lab: Lab, page: Page) -> None:
    cells = [
        SMALL_CNN,
        "%load_ext effwidgets\nimport time\nfrom effwidgets import explore",
        "def evaluate(m):\n    for _ in range(40):\n        m(x)\n        time.sleep(0.05)\n    return float(m(x).softmax(1).max())",
        "study = explore(model, x, evaluate=evaluate)\nstudy.start()\nstudy",
    ]
    notebook = Notebook(lab, page, lab.write("cancel.ipynb", cells))
    for index in range(3):
        notebook.run(index)
    view = live(notebook.run(3), "pareto")
    wait_for(page, 2)
    view.scroll_into_view_if_needed()
    view.get_by_role("button", name="Cancel").click()
    expect(view).to_contain_text("Cancelled", timeout=10_000)
    with lab.kernel() as kernel:
        kept = kernel.read(DONE)
        assert len(kept) >= 2
        assert kernel.read("study.snapshot().state") == "cancelled"
        assert marks(page) == sorted(kept)
    notebook.screen("pareto-cancelled")


def test_cancel_is_heard_while_another_cell_is_running(lab: Lab, page: Page) -> None:
    cells = [
        SMALL_CNN,
        "%load_ext effwidgets\nimport time\nfrom effwidgets import explore",
        "def evaluate(m):\n    for _ in range(40):\n        m(x)\n        time.sleep(0.05)\n    return 0.5",
        "study = explore(model, x, evaluate=evaluate)\nstudy.start()\nstudy",
        "begun = time.time()\ntime.sleep(8)\nended = time.time()",
    ]
    notebook = Notebook(lab, page, lab.write("busy.ipynb", cells))
    for index in range(3):
        notebook.run(index)
    view = live(notebook.run(3), "pareto")
    wait_for(page, 1)
    busy = notebook.start(4)
    expect(busy.locator(".jp-InputPrompt")).to_have_text("[*]:")
    view.get_by_role("button", name="Cancel").click()
    expect(view).to_contain_text("Cancelled", timeout=7_000)
    expect(busy.locator(".jp-InputPrompt")).to_have_text("[*]:")
