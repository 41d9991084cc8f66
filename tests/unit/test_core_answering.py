"""Places that hang are left to themselves; who waits for them is told, and goes on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from fieldrec.core.answering import Answering, NotAnswering
from tests.fakes.jumping_loop import Ahead

LIMIT_S = 600.0
"""Nobody waits for it: time is put ahead."""
SHORT_S = 0.02


class Hanging:
    """Work inside a place that hangs until it is let go."""

    def __init__(self, answering: Answering) -> None:
        self.place = answering.place("nas")
        self.released = threading.Event()
        self.stopped = threading.Event()

    def work(self, stop: threading.Event) -> str:
        with self.place.pulse.inside():
            self.released.wait()
        if stop.is_set():
            self.stopped.set()
        return "done"


@pytest.mark.asyncio
async def test_a_place_that_hangs_is_told_and_its_return_too() -> None:
    answers = asyncio.Event()
    answering, ahead = Answering(answers.set, limit_s=LIMIT_S), Ahead()
    hanging = Hanging(answering)
    task = asyncio.create_task(hanging.place.run("copy nas", hanging.work))
    await asyncio.to_thread(hanging.place.pulse.wait_inside)
    await ahead.by(LIMIT_S)  # the first look sees that it has gone in
    assert not answering.hangs("nas")
    await ahead.by(LIMIT_S)
    with pytest.raises(NotAnswering, match="destination nas does not answer"):
        await task
    assert answering.hangs("nas") and not answering.hangs("usb")
    threads = threading.active_count()
    with pytest.raises(NotAnswering):  # no second thread is sent after the first
        await hanging.place.run("copy nas", hanging.work)
    assert threading.active_count() == threads
    hanging.released.set()
    await answers.wait()
    assert hanging.stopped.is_set(), "it was told to stop"
    assert not answering.hangs("nas")
    assert await hanging.place.run("copy nas", hanging.work) == "done"


@pytest.mark.asyncio
async def test_signs_of_life_and_work_elsewhere_are_no_hanging() -> None:
    place, ahead = Answering(limit_s=LIMIT_S).place("nas"), Ahead()
    loop = asyncio.get_running_loop()

    def wait(seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(ahead.by(seconds), loop).result()

    def beating(_stop: threading.Event) -> str:
        with place.pulse.inside():
            for _ in range(20):
                place.pulse.beat()
                wait(LIMIT_S)
        for _ in range(3):
            wait(LIMIT_S)  # not inside
        return "whole"

    assert await place.run("copy nas", beating) == "whole"


@pytest.mark.asyncio
async def test_who_is_cancelled_does_not_wait_for_what_hangs() -> None:
    ended = asyncio.Event()
    answering = Answering(ended.set, limit_s=1000, patience_s=SHORT_S)
    hanging = Hanging(answering)
    task = asyncio.create_task(hanging.place.run("copy nas", hanging.work))
    await asyncio.to_thread(hanging.place.pulse.wait_inside)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled() and answering.hangs("nas")
    hanging.released.set()
    await ended.wait()


@pytest.mark.asyncio
async def test_who_is_cancelled_waits_for_what_goes_on() -> None:
    answering = Answering(limit_s=LIMIT_S)
    place, began, ended = answering.place("nas"), threading.Event(), []

    def work(stop: threading.Event) -> None:
        began.set()
        stop.wait()
        ended.append(True)

    task = asyncio.create_task(place.run("copy nas", work))
    await asyncio.to_thread(began.wait)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and ended == [True]


@pytest.mark.asyncio
async def test_errors_of_the_work_pass() -> None:
    def fail(_stop: threading.Event) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await Answering().place("nas").run("copy nas", fail)
