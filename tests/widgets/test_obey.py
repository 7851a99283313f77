from __future__ import annotations

import pytest

from effwidgets.errors import EffError, InputError
from effwidgets.widgets.obey import GoneError, obey


def test_a_message_becomes_a_command_of_its_session(session):
    obey({"kind": "command", "origin": "Net-widgets-test", "verb": "apply", "args": {"indices": [0, 2]}, "id": "x1"})
    [command] = session.commands
    assert (command.verb, dict(command.args), command.id) == ("apply", {"indices": (0, 2)}, "x1")


def test_a_session_that_is_gone_is_said_with_what_to_do():
    with pytest.raises(GoneError, match="Run its cell again"):
        obey({"origin": "nobody", "verb": "apply"})


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"origin": "Net-widgets-test"},
        {"origin": 3, "verb": "apply"},
        {"origin": "Net-widgets-test", "verb": "apply", "args": [1]},
        {"origin": "Net-widgets-test", "verb": "apply", "args": {"a": {"b": 1}}},
    ],
)
def test_what_is_no_command_is_refused(session, message):
    with pytest.raises(InputError):
        obey(message)
    assert session.commands == []


def test_whatever_a_session_raises_becomes_one_of_our_errors(session, caplog):
    session.error = ZeroDivisionError("oh")
    with pytest.raises(EffError, match="apply failed: ZeroDivisionError: oh"):
        obey({"origin": "Net-widgets-test", "verb": "apply"})
    assert "oh" in caplog.text
