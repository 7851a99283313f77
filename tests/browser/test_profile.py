"""Journey A: a person profiles a model in a notebook and reads the layer table."""

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
    "%load_ext effwidgets",
    "%effdl profile model x",
    "p = %effdl profile model x\nprint(p.cost.macs, type(p).__name__)",
    "%effdl help",
    "%effdl profil model x",
    "%effdl profile modle x",
    "%effdl profile model torch.zeros(2,5,8,8)",
    "%effdl?",
]


@pytest.fixture
def notebook(lab: Lab, page: Page) -> Notebook:
    return Notebook(lab, page, lab.write("profile.ipynb", CELLS))


def test_the_layer_table_is_read_sorted_filtered_and_switched(notebook: Notebook, page: Page) -> None:
    notebook.run(0)
    notebook.run(1)
    view = live(notebook.run(2), "layers")
    expect(view).to_be_visible()
    view.scroll_into_view_if_needed()
    expect(view).to_contain_text("Parameters")
    expect(view).to_contain_text("FLOPs (2 × MACs)")
    notebook.screen("layers-light")

    expect(view.locator("tr[data-layer]")).to_have_count(14)  # the model, and all below it
    view.get_by_label("Filter layers").fill("head")
    expect(view.get_by_role("row").filter(has_text="Flatten").first).to_be_visible()
    notebook.screen("layers-filtered")
    expect(view.get_by_role("row").filter(has_text="stem")).to_have_count(0)
    view.get_by_label("Filter layers").fill("")

    view.get_by_role("button", name="MACs", exact=True).click()
    expect(view.get_by_role("columnheader", name=re.compile("MACs"))).to_be_visible()
    sorted_both_ways_and_folded(view)
    notebook.screen("layers-sorted")
    bars_are_as_wide_as_the_shares(view)

    # a row clicked is read in the kernel
    view.get_by_role("row").filter(has_text="stem").first.click()
    with notebook.lab.kernel() as kernel:
        ours = "__import__('effwidgets').session_of(model).selection()"
        deadline = time.monotonic() + 10
        while kernel.read(f"list({ours})") != ["stem"]:
            assert time.monotonic() < deadline, "the selection did not reach the kernel"
    notebook.dark()
    view.scroll_into_view_if_needed()
    notebook.screen("layers-dark")
    notebook.dark(False)

    printed = notebook.run(3)
    expect(printed).to_contain_text("Profile")


def children(view: Locator) -> list[str]:
    """The layers right below the model, from top to bottom."""
    names: list[str] = view.locator("tr[aria-level='2']").evaluate_all("rows => rows.map(row => row.dataset.layer)")
    return names


def sorted_both_ways_and_folded(view: Locator) -> None:
    # By hand. Parameters: stem 896, body 36,992, head 131,786; MACs of a sample: 55,296, 2,359,296 and 131,712.
    header = view.get_by_role("columnheader", name=re.compile("Parameters"))
    expect(header).to_have_attribute("aria-sort", "descending")
    assert children(view) == ["head", "body", "stem"]
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    assert children(view) == ["stem", "body", "head"]
    work = view.get_by_role("columnheader", name=re.compile("MACs"))
    work.get_by_role("button").click()
    expect(work).to_have_attribute("aria-sort", "descending")
    assert children(view) == ["body", "head", "stem"]

    body = view.locator("tr[data-layer='body']")
    inside = view.locator("tr[data-layer^='body.']")
    expect(inside).to_have_count(6)
    body.get_by_role("button", name="Fold body").click()
    expect(inside).to_have_count(0)
    expect(body).to_have_attribute("aria-expanded", "false")
    assert children(view) == ["body", "head", "stem"]
    body.get_by_role("button", name="Unfold body").click()
    expect(inside).to_have_count(6)


def bars_are_as_wide_as_the_shares(view: Locator) -> None:
    for layer, share in (("", 1), ("head", 131_786 / 169_674), ("body", 36_992 / 169_674), ("stem", 896 / 169_674)):
        bar = view.locator(f"tr[data-layer='{layer}'] .effdl-col-params .effdl-bar")
        whole, filled = bar.bounding_box(), bar.locator("i").bounding_box()
        assert whole is not None
        assert filled is not None
        assert whole["width"] > 10
        # Within half a pixel: what a browser may round a box by.
        assert abs(filled["width"] - share * whole["width"]) <= 0.5


def test_the_static_twin_is_in_the_output_and_hidden_while_the_live_view_lives(notebook: Notebook, page: Page) -> None:
    for index in range(2):
        notebook.run(index)
    outputs = notebook.run(2)
    expect(live(outputs, "layers")).to_be_visible()
    twin = outputs.locator(".effdl-static")
    expect(twin).to_have_count(1)
    expect(twin).to_be_hidden()
    assert "stem" in (twin.text_content() or "")


def test_words_are_explained_and_faults_answered_in_one_line(notebook: Notebook, page: Page) -> None:
    for index in range(2):
        notebook.run(index)
    expect(notebook.run(4)).to_contain_text("%effdl suggest")
    unknown = notebook.run(5)
    expect(unknown).to_contain_text("Did you mean 'profile'?")
    missing = notebook.run(6)
    expect(missing).to_contain_text("Did you mean model")
    wrong = notebook.run(7)
    expect(wrong).to_contain_text("stem")
    expect(wrong).not_to_contain_text("Traceback")
    notebook.screen("faults")
    notebook.start(8)
    pager = page.locator("#jp-inspector-docstring, .jp-Inspector, .jp-RenderedText:visible").filter(
        has_text="%effdl help"
    )
    expect(pager.first).to_be_visible()


def test_suggest_turns_the_table_into_the_list_and_back(notebook: Notebook, page: Page) -> None:
    for index in range(2):
        notebook.run(index)
    outputs = notebook.run(2)
    table = live(outputs, "layers")
    table.get_by_role("button", name="Suggest").click()
    suggestions = live(outputs, "suggestions")
    expect(suggestions).to_be_visible(timeout=60_000)
    expect(table).to_have_count(0)
    suggestions.get_by_role("checkbox").first.check()
    suggestions.get_by_role("button", name="Apply 1").click()
    expect(suggestions).to_contain_text("Applied 1", timeout=30_000)
    notebook.screen("layers-turned")
    expect(outputs.locator(".effdl-static")).to_be_hidden()
    outputs.get_by_role("button", name="Layers").click()
    expect(table).to_be_visible()
    expect(suggestions).to_have_count(0)
