"""A report of a search, opened from the disk in a browser that has no network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from playwright.sync_api import Browser, Page, expect
from torch import nn

from effwidgets import SearchOptions, explore
from tests.browser.lab import SCREENS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 48, 3), nn.ReLU(), nn.Flatten())
    model.add_module('<script>alert("x")</script>', nn.Linear(48 * 16, 10))
    data = torch.randn(64, 3, 8, 8)
    wanted = model(data).argmax(1)
    forwards = []

    def agreement(candidate: nn.Module) -> float:
        forwards.append(candidate)
        if len(forwards) == 4:
            raise ValueError("<b>no</b>")
        with torch.no_grad():
            return float((candidate(data).argmax(1) == wanted).float().mean())

    options = SearchOptions(score_name="agreement", calibration=data[:16], budgets={"macs": 0.6}, trials=8)
    study = explore(model, data[:1], evaluate=agreement, options=options).run()
    return study.report(tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_opens_without_a_network_and_without_a_complaint(
    chromium: Browser, report: Path, scheme: Literal["light", "dark"]
) -> None:
    context = chromium.new_context(viewport={"width": 1180, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", level=1)).to_contain_text("Search over Sequential")
    contrast(page)
    walk(page)
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"report-{scheme}.png", full_page=True)
    assert asked == [report.as_uri()]
    assert said == []
    context.close()


def walk(page: Page) -> None:
    """A mark of the front leads to its candidate, which opens; nothing is wider than the page."""
    mark = page.locator("#fronts svg a").first
    number = (mark.get_attribute("href") or "").removeprefix("#candidate-")
    mark.focus()
    page.keyboard.press("Enter")
    look = page.locator(f"#candidate-{number}")
    expect(look).to_be_visible()
    expect(look).to_be_in_viewport()
    look.get_by_text("as JSON").click()
    expect(look.locator("pre")).to_contain_text('"kind": "Plan"')
    page.get_by_text("1 failed, why?").click()
    expect(page.locator("#all")).to_contain_text("<b>no</b>")
    assert page.locator("script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def contrast(page: Page) -> None:
    """Text and ground differ as the theme says: none is the other's."""
    light = page.evaluate(
        """() => [getComputedStyle(document.querySelector("h1")).color,
                  getComputedStyle(document.documentElement).backgroundColor].map(
            (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).reduce((sum, one) => sum + one, 0) / 765)"""
    )
    assert abs(light[0] - light[1]) > 0.6
