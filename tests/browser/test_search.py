"""Journey C: the quickstart from its first cell to its last, with the live Pareto view in the middle."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Kernel, Lab, Notebook
from tests.browser.pages import SMALL_CNN, live, marks, middle, on_top

pytestmark = pytest.mark.browser

DONE = "[c.number for c in study.candidates() if c.state == 'done']"
SAVING = """saved = [candidate.number for candidate in study.front() if candidate.number][-3:]
for number in saved:
    study.save(number, f"candidate-{number}")
print("saved", *saved)"""
FRESH = """
import json, sys
exec(open(sys.argv[1]).read())
from effwidgets import load
print(json.dumps([accuracy(load(path, DigitNet), valid) for path in sys.argv[2:]]))
"""


# Two scores at once; the third would take a minute, of forwards that are short.
SLOW_AFTER_TWO = """forwards, scored = [], []
def evaluate(m):
    for _ in range(1200 if len(scored) >= 2 else 0):
        forwards.append(m(x))
        time.sleep(0.05)
    scored.append(m(x).softmax(1).max().item())
    return scored[-1]"""


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
    """A copy with one cell more at its end; returned are the sources of its cells."""
    book = nbformat.read(notebooks / "00-quickstart.ipynb", as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(SAVING))
    nbformat.write(book, lab.work / "00-quickstart.ipynb")
    return [cell.source for cell in book.cells]


def test_the_quickstart_from_the_first_cell_to_the_last(
    lab: Lab, page: Page, quickstart: list[str], tmp_path: Path
) -> None:
    notebook = Notebook(lab, page, "00-quickstart.ipynb")
    suggested, search = place(quickstart, "%effdl suggest model x"), place(quickstart, "study.start()")
    for index in range(suggested + 1):
        run_if_code(notebook, index)
    tick_two_and_apply(lab, notebook, suggested)
    for index in range(suggested + 1, search):
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
    saved_models_score_what_is_drawn(notebook, view, quickstart, tmp_path)

    static = notebook.cell(search).locator(".effdl-result")
    expect(static).to_be_visible()
    static.scroll_into_view_if_needed()
    notebook.screen("pareto-static")
    notebook.dark()
    view.scroll_into_view_if_needed()
    notebook.screen("pareto-dark")
    notebook.dark(on=False)

    for index in range(search + 1, len(quickstart) - 1):
        run_if_code(notebook, index)
    last = notebook.cell(place(quickstart, "dense, kept ="))
    expect(last).to_contain_text(re.compile(r"dense \d+\.\d%\s+small \d+\.\d%"))
    last.scroll_into_view_if_needed()
    notebook.screen("quickstart-end")


def run_if_code(notebook: Notebook, index: int) -> None:
    if "jp-CodeCell" in (notebook.cell(index).get_attribute("class") or ""):
        outputs = notebook.run(index)
        expect(outputs.locator("[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)


def tick_two_and_apply(lab: Lab, notebook: Notebook, suggested: int) -> None:
    """Do with the mouse what the next cell does as code."""
    view = live(notebook.cell(suggested), "suggestions")
    view.get_by_role("checkbox").nth(0).check()
    view.get_by_role("checkbox").nth(1).check()
    expect(view).to_contain_text(re.compile(r"2 chosen: .*FLOPs"), timeout=30_000)
    with lab.kernel() as kernel:
        applied = "__import__('effwidgets').session_of(model).applied"
        assert kernel.read(f"{applied} is None")
        view.get_by_role("button", name="Apply 2").click()
        done = view.get_by_role("group", name="Applied")
        expect(done).to_contain_text("Applied 2", timeout=60_000)
        assert kernel.read(f"{applied}.plan == suggestions.plan(0, 1)")
        # The two best may be for one layer: then the second is skipped, with its reason.
        assert kernel.read(f"len({applied}.edits)") >= 1
        assert kernel.read(f"len({applied}.edits) + len({applied}.skipped)") == 2
        assert kernel.read(f"{applied}.profile.cost.macs < profile.cost.macs")
    done.scroll_into_view_if_needed()
    notebook.screen("quickstart-applied")


def hover_and_walk(page: Page, view: Locator, kernel: Kernel) -> None:
    """The card under the pointer says which candidate it is; the front is walked and pinned by keyboard alone."""
    front = kernel.read("[c.number for c in study.front()]")
    under = on_top(view, [number for number in front if number])[0]
    page.mouse.move(*middle(view.locator(f"svg [data-number='{under}']").first))
    expect(view.locator(".effdl-hover")).to_contain_text(f"Candidate {under}")
    tab_to_the_stage(page, view)
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


def tab_to_the_stage(page: Page, view: Locator) -> None:
    stage = view.get_by_role("group", name=re.compile("walk the front"))
    view.get_by_label("Budget").click(position={"x": 2, "y": 2})  # its left end ...
    page.keyboard.press("End")  # ... and back to the right: no budget
    for _ in range(5):
        page.keyboard.press("Tab")
        if stage.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError("Tab does not reach the chart")


def pin_and_read(page: Page, view: Locator, kernel: Kernel) -> int:
    """Click a mark of the front; what the card says is what Python reads."""
    front = kernel.read("[c.number for c in study.front()]")
    free = on_top(view, front)
    number = free[len(free) // 2]
    page.mouse.click(*middle(view.locator(f"svg [data-number='{number}']").first))
    card = view.get_by_role("group", name="Chosen candidate")
    expect(card).to_have_attribute("data-number", str(number))
    expect(card).to_contain_text(f"Candidate {number}" if number else "Dense model")
    expect(card).to_contain_text("FLOPs")
    deadline = time.monotonic() + 10
    while kernel.read("list(study.selection)") != [number]:
        assert time.monotonic() < deadline, "the selection did not reach the kernel"
        page.wait_for_timeout(50)
    return int(number)


def saved_models_score_what_is_drawn(notebook: Notebook, view: Locator, sources: list[str], folder: Path) -> None:
    """Models saved by a cell score, in a fresh process, what their marks and the table on the page say."""
    said = notebook.run(len(sources) - 1).inner_text().split()
    assert said[0] == "saved"
    numbers = [int(word) for word in said[1:]]
    assert len(numbers) == 3
    drawn = [view.locator(f"svg [data-number='{number}']").first.get_attribute("data-score") for number in numbers]
    view.get_by_text("As a table").click()
    links = [notebook.page.locator(f"[data-pin='{number}']") for number in numbers]
    written = [view.locator("tr", has=link).inner_text() for link in links]
    view.get_by_text("As a table").click()

    needed = ("import torch", "load_digits()", "class ", "def accuracy")
    code = [source for source in sources if any(mark in source for mark in needed)]
    script = folder / "model.py"
    script.write_text("\n\n".join(code).replace("%load_ext effwidgets", "").split("torch.manual_seed(0)")[0])
    paths = [str(notebook.lab.work / f"candidate-{number}") for number in numbers]
    command = [sys.executable, "-c", FRESH, str(script), *paths]
    fresh = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert fresh == [float(score or "nan") for score in drawn]
    for score, row in zip(fresh, written, strict=True):
        assert f"{score:.1%}" in row


def test_a_cancelled_run_keeps_its_candidates_even_inside_evaluate(lab: Lab, page: Page) -> None:
    cells = [
        SMALL_CNN,
        "%load_ext effwidgets\nimport time\nfrom effwidgets import explore",
        SLOW_AFTER_TWO,
        "study = explore(model, x, evaluate=evaluate)\nstudy.start()\nstudy",
    ]
    notebook = Notebook(lab, page, lab.write("cancel.ipynb", cells))
    for index in range(3):
        notebook.run(index)
    view = live(notebook.run(3), "pareto")
    wait_for(page, 2)
    with lab.kernel() as kernel:
        deadline = time.monotonic() + 30
        while kernel.read("len(forwards)") < 5:
            assert time.monotonic() < deadline, "the third evaluate did not begin"
        view.get_by_role("button", name="Cancel").click()
        expect(view).to_contain_text("Cancelled", timeout=10_000)
        assert kernel.read("len(forwards)") < 600  # of 1,200: evaluate itself was stopped
        assert kernel.read("study.snapshot().state") == "cancelled"
        assert kernel.read("[c.state for c in study.candidates()]") == ["done", "done", "cancelled"]
        assert marks(page) == kernel.read(DONE)
    notebook.screen("pareto-cancelled")


def test_cancel_is_heard_while_another_cell_is_running(lab: Lab, page: Page) -> None:
    cells = [
        SMALL_CNN,
        "%load_ext effwidgets\nimport time\nfrom effwidgets import explore",
        "def evaluate(m):\n    for _ in range(40):\n        m(x)\n        time.sleep(0.05)\n    return 0.5",
        "study = explore(model, x, evaluate=evaluate)\nstudy.start()\nstudy",
        "time.sleep(60)",
    ]
    notebook = Notebook(lab, page, lab.write("busy.ipynb", cells))
    for index in range(3):
        notebook.run(index)
    view = live(notebook.run(3), "pareto")
    wait_for(page, 1)
    busy = notebook.start(4)
    expect(busy.locator(".jp-InputPrompt")).to_have_text("[*]:")
    view.get_by_role("button", name="Cancel").click()
    expect(view).to_contain_text("Cancelled", timeout=20_000)
    expect(busy.locator(".jp-InputPrompt")).to_have_text("[*]:")
    notebook.menu("Kernel", "Interrupt Kernel")
    expect(busy).to_contain_text("KeyboardInterrupt")
