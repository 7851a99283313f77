"""A real JupyterLab on a free port, and a person's hands and eyes on its page.

Hands: mouse and keyboard on visible elements. Eyes: text, roles, attributes; scripts on the page only read.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import BlockingKernelClient
from playwright.sync_api import Locator, Page, expect

SCREENS = Path(__file__).parents[2] / "build" / "screens"
IDLE = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  const kernel = panel?.sessionContext?.session?.kernel;
  return kernel?.status === 'idle' && kernel?.connectionStatus === 'connected';
}"""
SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"autosave": False},
}


class Lab:
    """The server, its folders and its kernels."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.work = home / "work"
        self.runtime = home / "runtime"
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.work.mkdir(parents=True)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        return {**kept, **{name: str(self.home / place) for name, place in places.items()}, "OMP_NUM_THREADS": "1"}

    @contextmanager
    def running(self) -> Iterator[Lab]:
        for name, values in SETTINGS.items():
            path = self.home / "settings" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        flags = [
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.work}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]
        with (self.home / "server.log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *flags], env=self._environment(), stdout=log, stderr=log
            )
            try:
                self._wait(server)
                yield self
            finally:
                server.terminate()
                try:
                    server.wait(15)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait(5)

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            try:
                self.ask("status", timeout_s=2)
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError(f"JupyterLab did not start: {(self.home / 'server.log').read_text()[-3000:]}")

    def ask(self, place: str, method: str = "GET", timeout_s: float = 30) -> Any:
        """Ask the server itself, beside the page."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}/api/{place}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return json.loads(reply.read() or "null")

    def end_kernels(self) -> None:
        """Shut all kernels down, so that none computes beside the next test."""
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")
        for kernel in self.ask("kernels"):
            self.ask(f"kernels/{kernel['id']}", "DELETE")

    def write(self, name: str, cells: list[str], kernel: str = "python3") -> str:
        """Lay a notebook with these code cells into the working folder."""
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
        nbformat.write(book, self.work / name)
        return name

    @contextmanager
    def kernel(self) -> Iterator[Kernel]:
        """Read the kernel started last, beside the page."""
        newest = max(self.runtime.glob("kernel-*.json"), key=lambda path: path.stat().st_mtime)
        client = BlockingKernelClient(connection_file=str(newest))
        client.load_connection_file()
        client.start_channels()
        try:
            yield Kernel(client)
        finally:
            client.stop_channels()


class Kernel:
    """Reads expressions in a running kernel, without a cell."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def read(self, expression: str, timeout_s: float = 30) -> Any:
        """Return the value of an expression that json can carry."""
        ask = {"value": f"__import__('json').dumps({expression})"}
        sent = self._client.execute("", silent=True, user_expressions=ask)
        deadline = time.monotonic() + timeout_s
        while True:
            reply = self._client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == sent:
                break
        answer = reply["content"]["user_expressions"]["value"]
        assert answer["status"] == "ok", answer
        text = answer["data"]["text/plain"]
        return json.loads(text[1:-1].encode().decode("unicode_escape") if "\\" in text else text[1:-1])


class Notebook:
    """A notebook on the page."""

    def __init__(self, lab: Lab, page: Page, name: str, app: str = "lab/tree") -> None:
        self.lab = lab
        self.page = page
        page.goto(f"{lab.url}/{app}/{name}?token={lab.token}&reset")
        self.wait_shown()

    def wait_shown(self) -> None:
        """Wait until the notebook stands on the page and its kernel is free."""
        page = self.page
        expect(page.locator(".jp-NotebookPanel:visible")).to_be_visible(timeout=60_000)
        self.wait_idle(60_000)

    def wait_idle(self, timeout_ms: float = 120_000) -> None:
        self.page.wait_for_function(IDLE, timeout=timeout_ms)

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell").nth(index)

    def run(self, index: int, timeout_ms: float = 120_000) -> Locator:
        """Click into a cell, press Shift+Enter, wait until it ran; return its outputs."""
        cell = self.start(index)
        expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=timeout_ms)
        self.wait_idle(timeout_ms)
        return cell.locator(".jp-Cell-outputArea")

    def start(self, index: int) -> Locator:
        """Click into a cell and press Shift+Enter."""
        cell = self.cell(index)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").first.click()
        self.page.keyboard.press("Shift+Enter")
        return cell

    def run_all(self, count: int, timeout_ms: float = 240_000) -> None:
        for index in range(count):
            self.run(index, timeout_ms)

    def menu(self, *path: str) -> None:
        """Walk a menu by mouse: the bar first, then each entry."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{path[0]}$")).click()
        for depth, entry in enumerate(path[1:]):
            label = self.page.locator(".lm-Menu").nth(depth).locator(".lm-Menu-itemLabel")
            label.filter(has_text=re.compile(f"^{entry}$")).click()

    def screen(self, name: str) -> Path:
        """Keep a picture of what is to be seen."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        path = SCREENS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def dark(self, on: bool = True) -> None:
        """Switch Lab's theme through its menu."""
        self.menu("Settings", "Theme", "JupyterLab Dark" if on else "JupyterLab Light")
        self.page.wait_for_function(
            "wanted => document.body.dataset.jpThemeLight === wanted", arg="false" if on else "true"
        )
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)
