"""`make lab`, as the README says it: the address is printed, and opens the quickstart."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = f"--no-browser --port={port} --LabApp.user_settings_dir={tmp_path}/s --LabApp.workspaces_dir={tmp_path}/w"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    lab = subprocess.Popen(
        ["make", "lab", f"LAB_ARGS={flags}"],
        cwd=ROOT,
        env={**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert lab.stdout is not None
    told: list[str] = []
    found = threading.Event()
    pattern = re.compile(rf"http://(?:127\.0\.0\.1|localhost):{port}/\S*token=\w+")

    def read() -> None:
        assert lab.stdout is not None
        for line in lab.stdout:
            told.append(line)
            if pattern.search(line):
                found.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert found.wait(90), "".join(told)
        yield pattern.findall("".join(told))[-1]
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            lab.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(lab.pid, signal.SIGKILL)
        lab.wait(10)
        reader.join(5)
        lab.stdout.close()


def test_make_lab_prints_an_address_that_opens_the_quickstart(address: str, page: Page) -> None:
    page.goto(address)
    expect(page.get_by_role("tab", name=re.compile("00-quickstart.ipynb")).first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("heading", name=re.compile("Quickstart")).first).to_be_visible(timeout=60_000)
