"""The event list."""

from __future__ import annotations

import logging

import pytest

from fieldrec.app import events
from fieldrec.app.events import Events
from fieldrec.core.clock import SystemClock


def test_events_are_kept_in_order_one_line_each_and_logged_once(
        caplog: pytest.LogCaptureFixture) -> None:
    kept = Events(SystemClock())
    with caplog.at_level(logging.INFO, "fieldrec"):
        kept.add("first\nline\tone")
        kept.add("second", "warning")
        kept.add("third", "error")
    assert [(e.text, e.severity) for e in kept.latest()] == [
        ("first line one", "info"), ("second", "warning"), ("third", "error")]
    assert [(r.getMessage(), r.levelname) for r in caplog.records] == [
        ("first line one", "INFO"), ("second", "WARNING"), ("third", "ERROR")]


def test_only_the_latest_are_kept() -> None:
    kept = Events(SystemClock())
    for number in range(events.EVENTS_KEPT + 5):
        kept.add(str(number))
    assert [e.text for e in kept.latest()] == [str(n) for n in range(5, events.EVENTS_KEPT + 5)]
