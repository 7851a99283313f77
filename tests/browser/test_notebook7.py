"""Notebook 7: the views are the same, and their buttons reach the kernel."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, Notebook
from tests.browser.pages import SMALL_CNN, live

pytestmark = pytest.mark.browser

# Notebook 7.6.5 raises these while it loads, with effwidgets switched off too; the second where JupyterLab was open
# before, in the workspace that both share.
THEIRS = ("Cannot read properties of undefined (reading 'schema')", "Command 'filebrowser:open-path' not registered.")
CELLS = [SMALL_CNN, "%load_ext effwidgets", "%effdl profile model x", "%effdl suggest model x"]


def test_views_live_in_notebook_7_and_their_buttons_reach_the_kernel(lab: Lab, page: Page, faults: list[str]) -> None:
    notebook = Notebook(lab, page, lab.write("seven.ipynb", CELLS), app="notebooks")
    assert "/notebooks/seven.ipynb" in page.url
    for index in range(2):
        notebook.run(index)
    outputs = notebook.run(2)
    table = live(outputs, "layers")
    expect(table).to_be_visible()
    expect(table.locator("tr[data-layer]")).to_have_count(14)
    expect(outputs.locator(".effdl-static")).to_be_hidden()
    table.get_by_label("Filter layers").fill("head")
    expect(table.locator("tr[data-layer='stem']")).to_have_count(0)
    expect(table.locator("tr[data-layer='head.1']")).to_be_visible()
    notebook.screen("notebook7-layers")

    listed = live(notebook.run(3), "suggestions")
    listed.get_by_role("checkbox").first.check()
    listed.get_by_role("button", name="Apply 1").click()
    expect(listed).to_contain_text("Applied 1", timeout=30_000)
    notebook.screen("notebook7-suggestions")
    faults[:] = [fault for fault in faults if fault not in THEIRS]
