"""The live view and the panel's channels in a real kernel, without a browser."""

from __future__ import annotations

import contextlib
import queue
import time
import uuid

import pytest
from jupyter_client.manager import start_new_kernel

SETUP = """
import time
import torch
from effwidgets.panel import attach
from effwidgets.session import profile
from effwidgets.widgets.views import LiveView
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
attach()
"""


class Kernel:
    """A kernel's client with what a page does."""

    def __init__(self, client):
        self.client = client

    def send(self, kind, content, *, channel="shell", subshell=None):
        message = self.client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        getattr(self.client, f"{channel}_channel").send(message)
        return message["header"]["msg_id"]

    def until(self, wanted, timeout=20):
        """Everything the kernel published up to the first message that ``wanted`` accepts, that one last."""
        seen, end = [], time.monotonic() + timeout
        while time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                message = self.client.get_iopub_msg(timeout=max(end - time.monotonic(), 0.01))
                seen.append(message)
                if wanted(message):
                    return seen
        kinds = [message["msg_type"] for message in seen]
        raise AssertionError(f"not published within {timeout} s; this was: {kinds}")

    def run(self, code, **metadata):
        """Run a cell; what it published."""
        message = self.client.session.msg("execute_request", {"code": code, "silent": False}, metadata=metadata)
        self.client.shell_channel.send(message)
        ident = message["header"]["msg_id"]
        found = self.until(
            lambda said: (
                said["msg_type"] == "status"
                and said["content"]["execution_state"] == "idle"
                and said["parent_header"].get("msg_id") == ident
            )
        )
        errors = [said["content"]["evalue"] for said in found if said["msg_type"] == "error"]
        assert errors == []
        return found

    def value(self, expression):
        [result] = [said for said in self.run(expression) if said["msg_type"] == "execute_result"]
        return result["content"]["data"]["text/plain"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.setenv("OMP_NUM_THREADS", "1")
        manager, client = start_new_kernel(kernel_name="python3", startup_timeout=60)
    live = Kernel(client)
    live.run(SETUP)
    yield live
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def opened(messages, target):
    return [
        said["content"]
        for said in messages
        if said["msg_type"] == "comm_open" and said["content"]["target_name"] == target
    ]


def live_views(messages):
    states = [content["data"]["state"] for content in opened(messages, "jupyter.widget")]
    return [state for state in states if "payload" in state]


def shown(messages):
    return [said["content"]["data"] for said in messages if said["msg_type"] == "display_data"]


def down(message, kind):
    return message["msg_type"] == "comm_msg" and message["content"]["data"].get("kind") == kind


def test_a_profile_shows_a_live_view_and_a_static_page_of_its_own(kernel):
    messages = kernel.run("profile(model, torch.zeros(1, 4))", cellId="cell-1")
    [state] = live_views(messages)
    assert state["payload"]["names"] == ["", "0", "1"]
    live, static = shown(messages)
    assert "application/vnd.jupyter.widget-view+json" in live
    assert state["payload"]["origin"] in static["text/html"]


def test_what_is_selected_on_the_page_is_read_in_the_kernel_and_a_gone_session_is_said(kernel):
    messages = kernel.run("shown = LiveView(dict(view='layers', origin='nobody', title='x')); shown", cellId="cell-2")
    [comm] = [
        content["comm_id"] for content in opened(messages, "jupyter.widget") if "payload" in content["data"]["state"]
    ]
    update = {"method": "update", "state": {"selection": ["0"]}, "buffer_paths": []}
    kernel.send("comm_msg", {"comm_id": comm, "data": update})
    assert kernel.value("shown.selection") == "['0']"
    click = {
        "method": "custom",
        "content": {"kind": "command", "origin": "nobody", "verb": "suggest", "args": {}, "id": "1"},
    }
    kernel.send("comm_msg", {"comm_id": comm, "data": click})
    said = kernel.until(lambda message: "status" in str(message["content"].get("data", {}).get("state", "")))[-1]
    assert said["content"]["data"]["state"]["status"]["state"] == "gone"


def test_running_a_cell_again_closes_the_view_of_its_last_run(kernel):
    code = "again = profile(model, torch.zeros(1, 4)); again"
    first = kernel.run(code, cellId="cell-3")
    assert len(live_views(first)) == 1
    second = kernel.run(code, cellId="cell-3")
    ids = [content["comm_id"] for content in opened(first, "jupyter.widget")]
    closed = [said["content"]["comm_id"] for said in second if said["msg_type"] == "comm_close"]
    assert set(closed) & set(ids)
    assert len(live_views(second)) == 1


def test_the_panel_is_answered_while_a_cell_runs(kernel):
    kernel.run("output = model(torch.zeros(1, 4))")
    kernel.send("create_subshell_request", {}, channel="control")
    subshell = kernel.client.get_control_msg(timeout=20)["content"]["subshell_id"]
    up, answers = uuid.uuid4().hex, uuid.uuid4().hex
    for comm, target in ((answers, "effdl.down"), (up, "effdl.up")):
        content = {"comm_id": comm, "target_name": target, "data": {"protocol": 1}}
        kernel.send("comm_open", content, subshell=subshell)
    hello = kernel.until(lambda message: down(message, "hello"))[-1]["content"]["data"]
    assert hello["protocol"] == 1
    kernel.client.execute("done = False; time.sleep(3); done = True")
    kernel.until(lambda message: message["msg_type"] == "execute_input")
    asked = time.monotonic()
    kernel.send("comm_msg", {"comm_id": up, "data": {"kind": "list", "id": "q1"}}, subshell=subshell)
    answer = kernel.until(lambda message: down(message, "models"))[-1]["content"]
    # Long before the cell of three seconds ends.
    assert time.monotonic() - asked < 2
    assert answer["comm_id"] == answers
    assert answer["data"]["id"] == "q1"
    assert [(row["name"], row["shape"]) for row in answer["data"]["models"]] == [("model", "1, 4")]
    assert kernel.value("done") == "True"
