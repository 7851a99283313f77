from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.lab import Lab

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("EFFWIDGETS_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "No browser found: run the browser tests with make browser, which finds or installs one."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")).running() as server:
        yield server


@pytest.fixture
def lab(server: Lab) -> Iterator[Lab]:
    yield server
    server.end_kernels()


@pytest.fixture
def faults() -> list[str]:
    """What the page raised; a test takes out what is known not to be ours."""
    return []


@pytest.fixture
def page(chromium: Browser, faults: list[str]) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert not faults, f"the page raised: {faults}"


@pytest.fixture(scope="session")
def notebooks() -> Path:
    return Path(__file__).parents[2] / "notebooks"
