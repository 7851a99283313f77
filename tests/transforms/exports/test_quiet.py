"""What exporters say is dropped, and what other threads say meanwhile is not."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

import pytest

from effwidgets.transforms.exports.quiet import quiet


def test_what_this_thread_says_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        sys.stdout.write("an exporter")
        sys.stderr.write("an exporter")
        warnings.warn("an exporter", stacklevel=1)
    assert capsys.readouterr() == ("", "")


def test_the_log_of_a_training_on_another_thread_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    def train() -> None:
        sys.stdout.write("epoch 1\n")
        sys.stderr.write("a progress bar\n")
        sys.stdout.flush()

    with quiet():
        other = threading.Thread(target=train)
        other.start()
        other.join()
    assert capsys.readouterr() == ("epoch 1\n", "a progress bar\n")


def test_streams_and_levels_are_as_they_were() -> None:
    before = sys.stdout, sys.stderr, logging.getLogger("torch.onnx").level
    with quiet():
        assert logging.getLogger("torch.onnx").level == logging.ERROR
    assert (sys.stdout, sys.stderr, logging.getLogger("torch.onnx").level) == before
