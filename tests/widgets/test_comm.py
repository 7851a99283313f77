from __future__ import annotations

import time

import pytest

from effwidgets.errors import InputError
from effwidgets.widgets.board import BOARD
from effwidgets.widgets.comm import DOWN, UP, Channels


class Comm:
    """One end of a channel, as the kernel sees it."""

    def __init__(self, name):
        self.comm_id, self.sent, self.times, self.broken = name, [], [], False
        self.message = self.closed = None

    def send(self, data):
        if self.broken:
            raise RuntimeError("the page is gone")
        self.sent.append(data)
        self.times.append(time.monotonic())

    def on_msg(self, callback):
        self.message = callback

    def on_close(self, callback):
        self.closed = callback

    def of(self, kind):
        return [message for message in self.sent if message["kind"] == kind]


class Manager:
    def __init__(self):
        self.targets = {}

    def register_target(self, name, opened):
        self.targets[name] = opened

    def open(self, target, comm, protocol=1):
        self.targets[target](comm, {"content": {"data": {"protocol": protocol}}})
        return comm


def up(comm, **data):
    comm.message({"content": {"data": data}})


def models(message):
    if message.get("broken"):
        raise ZeroDivisionError("oh")
    if message.get("refused"):
        raise InputError("There is no kernel.")
    return {"kind": "models", "models": [{"name": "net"}]}


@pytest.fixture
def manager():
    manager = Manager()
    manager.channels = Channels("1.2.3", {"list": models})
    manager.channels.register(manager)
    return manager


@pytest.fixture
def down(manager):
    return manager.open(DOWN, Comm("down"))


@pytest.fixture
def upward(manager, down):
    return manager.open(UP, Comm("up"))


def test_a_page_is_greeted_with_version_and_protocol(down, eventually):
    eventually(lambda: down.of("hello"))
    assert down.sent[0] == {"kind": "hello", "protocol": 1, "version": "1.2.3"}


def test_a_page_of_another_protocol_is_told_so(manager, eventually):
    comm = manager.open(DOWN, Comm("old"), protocol=7)
    eventually(lambda: comm.of("error"))
    assert "protocol 7" in comm.of("error")[0]["message"]


def test_a_question_is_answered_on_the_other_channel_with_its_id(upward, down, eventually):
    up(upward, kind="list", id="q1")
    eventually(lambda: down.of("models"))
    assert down.of("models") == [{"kind": "models", "models": [{"name": "net"}], "id": "q1"}]
    assert upward.sent == []


def test_a_command_reaches_its_session_on_the_thread_it_came_on(upward, session):
    up(upward, kind="command", origin="Net-widgets-test", verb="cancel", args={}, id="c1")
    assert [command.verb for command in session.commands] == ["cancel"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "command", "origin": "nobody", "verb": "cancel"}, "Run its cell again"),
        ({"kind": "command"}, "A command has an origin"),
        ({"kind": "dance"}, "'dance', which this kernel does not know. Known: command, list"),
        ({"kind": "list", "broken": True}, "ZeroDivisionError: oh"),
        ({"kind": "list", "refused": True}, "There is no kernel."),
        ({}, "None, which this kernel does not know"),
    ],
)
def test_what_goes_wrong_is_sent_down_and_never_raised(upward, down, eventually, data, said):
    up(upward, **data)
    eventually(lambda: down.of("error"))
    assert said in down.of("error")[0]["message"]
    assert upward.sent == []


def test_a_message_without_content_is_answered_too(upward, down, eventually):
    upward.message({})
    eventually(lambda: down.of("error"))


def test_a_flood_is_coalesced_to_ten_a_second(manager, down, eventually):
    begun = time.monotonic()
    for done in range(500):
        BOARD.publish("Net/1", "run", {"origin": "Net/1", "done": done})
        time.sleep(0.001)
    eventually(lambda: any(run["done"] == 499 for message in down.of("runs") for run in message["runs"]))
    elapsed = time.monotonic() - begun
    BOARD.forget("Net/1")
    gaps = [later - earlier for earlier, later in zip(down.times, down.times[1:], strict=False)]
    # A tenth of a second, less what the clock of a sleeping thread may be off.
    assert min(gaps) > 0.09
    # Ten a second, however slow the machine; two more for the greeting and what was sent at once.
    assert len(down.sent) <= 10 * elapsed + 2


def test_a_panel_that_opens_late_finds_the_runs(manager, eventually):
    BOARD.publish("Net/2", "run", {"origin": "Net/2", "done": 4})
    comm = manager.open(DOWN, Comm("late"))
    eventually(lambda: comm.of("runs"))
    BOARD.forget("Net/2")
    assert {"origin": "Net/2", "done": 4} in comm.of("runs")[0]["runs"]


def test_a_page_that_is_gone_does_not_silence_the_others(manager, down, eventually):
    broken = manager.open(DOWN, Comm("broken"))
    broken.broken = True
    manager.channels.send({"kind": "shown"})
    eventually(lambda: down.of("shown"))
    broken.broken = False
    manager.channels.send({"kind": "shown", "id": "again"})
    eventually(lambda: len(down.of("shown")) == 2)
    assert broken.of("shown") == []


def test_a_page_that_closed_its_channel_gets_nothing_more(manager, down, eventually):
    other = manager.open(DOWN, Comm("other"))
    eventually(lambda: other.of("hello"))
    other.closed({})
    manager.channels.send({"kind": "shown"})
    eventually(lambda: down.of("shown"))
    assert other.of("shown") == []


def test_nothing_waits_for_pages_that_are_not_there(manager):
    manager.channels.send({"kind": "shown"})
    assert manager.channels._waiting == {}
    assert manager.channels._thread is None


def test_the_sending_thread_ends_when_there_is_nothing_to_send(manager, down, eventually):
    eventually(lambda: down.of("hello"))
    eventually(lambda: manager.channels._thread is None)
