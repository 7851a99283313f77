"""The left panel: models of the active kernel, one opened with a click, and what it says when there is nothing."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, Notebook
from tests.browser.pages import SMALL_CNN, live

pytestmark = pytest.mark.browser

HIDE = """
import importlib.metadata as metadata
real = metadata.version
def version(name):
    if name == "effwidgets":
        {answer}
    return real(name)
metadata.version = version
"""


def panel_of(page: Page) -> Locator:
    page.get_by_role("tab", name="Efficiency").first.click()
    panel = page.get_by_role("region", name="Efficiency")
    expect(panel).to_be_visible()
    return panel


def test_a_model_is_listed_and_opens_its_layer_table(lab: Lab, page: Page) -> None:
    notebook = Notebook(lab, page, lab.write("panel.ipynb", [SMALL_CNN, "import effwidgets", "model(x).shape"]))
    panel = panel_of(page)
    expect(panel).to_contain_text("PyTorch was not imported")
    notebook.screen("panel-no-torch")
    notebook.run(0)
    row = panel.get_by_role("button", name=re.compile(r"model.*Net"))
    expect(row).to_be_visible(timeout=20_000)
    expect(row).to_contain_text("170 k")
    notebook.screen("panel-models")
    row.click()
    shape = panel.get_by_label("Input shape")
    expect(shape).to_be_visible(timeout=20_000)
    expect(shape).to_have_value(re.compile(r"1, 3, \d+, \d+"))
    # parameters only, until the inputs are known
    table = live(panel, "layers")
    expect(table).to_be_visible(timeout=30_000)
    shape.fill("4, 3, 8, 8")
    panel.get_by_role("button", name="Profile", exact=True).click()
    expect(table).to_contain_text("FLOPs", timeout=30_000)
    expect(table).to_contain_text("4 × 3 × 8 × 8", timeout=30_000)
    notebook.screen("panel-table")
    notebook.dark()
    notebook.screen("panel-dark")
    notebook.dark(on=False)


def test_the_call_seen_last_fills_in_the_inputs(lab: Lab, page: Page) -> None:
    notebook = Notebook(lab, page, lab.write("seen.ipynb", [SMALL_CNN, "model(x).shape"]))
    panel = panel_of(page)
    notebook.run(0)
    row = panel.get_by_role("button", name=re.compile(r"model.*Net"))
    expect(row).to_be_visible(timeout=20_000)
    notebook.run(1)
    open_once_called(page, panel, row)
    expect(panel.get_by_label("Input shape")).to_have_value("8, 3, 8, 8")
    expect(live(panel, "layers")).to_contain_text("8 × 3 × 8 × 8", timeout=30_000)


def open_once_called(page: Page, panel: Locator, row: Locator) -> None:
    """Open a model; close it and open it again while the panel's list is older than the call."""
    deadline = time.monotonic() + 20
    while True:
        row.click()
        expect(panel.get_by_label("Input shape")).to_be_visible()
        if panel.get_by_text("The input of the call seen last.").is_visible():
            return
        assert time.monotonic() < deadline, "the panel did not hear of the call"
        row.click()
        expect(panel.get_by_label("Input shape")).to_have_count(0)
        page.wait_for_timeout(200)


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("missing", "raise metadata.PackageNotFoundError(name)", r"pip install effwidgets==\d"),
        ("older", "return '0.0.9'", r"0\.0\.9[\s\S]*pip install effwidgets==\d"),
    ],
)
def test_a_kernel_without_effwidgets_or_with_another_version_is_told_the_install_line(
    lab: Lab, page: Page, tmp_path: Path, name: str, answer: str, said: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(answer=answer))
    spec = lab.home / "data" / "kernels" / name
    spec.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": name, "language": "python", "env": {"PYTHONPATH": str(tmp_path)}})
    )
    book = lab.write(f"{name}.ipynb", ["import torch"], kernel=name)
    notebook = Notebook(lab, page, book)
    notebook.run(0)
    panel = panel_of(page)
    expect(panel).to_contain_text(re.compile(said), timeout=20_000)
    notebook.screen(f"panel-{name}")


def test_without_a_notebook_the_panel_says_why_it_is_empty(lab: Lab, page: Page) -> None:
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    expect(page.locator(".jp-Launcher")).to_be_visible(timeout=60_000)
    panel = panel_of(page)
    expect(panel).to_contain_text(re.compile("notebook", re.IGNORECASE))
    page.screenshot(path=Path(__file__).parents[2] / "build" / "screens" / "panel-empty.png")
