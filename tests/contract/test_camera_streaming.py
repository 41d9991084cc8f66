"""Every backend streams for a while: ten seconds, or FIELDREC_STREAM_S, all at once.

Each in a thread of its own, as in a recorder, slowly and in small pictures, so that nobody else is
disturbed; vendors' backends with the fakes of their SDKs, which have a frame whenever they are
asked for one: they are asked at the rate that they tell. Nothing here depends on how soon a thread
is woken: rates are judged by the frames' own numbers and times, and a gap in the numbers is only
excused where we came too late for a frame.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera import Camera, Pixels, blank
from fieldrec.camera.discovery import backend_names, make_camera
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraTimeout
from fieldrec.core.model import FrameHeader
from tests.contract.test_camera_contract import CASES, V4L2
from tests.fakes import gige, network_cameras
from tests.fakes.clips import write_clip
from tests.fakes.waiting import PATIENCE_S

STREAM_S = float(os.environ.get("FIELDREC_STREAM_S", "10"))
HZ = 20
GRAB_S = 1.0
RATE_TOLERANCE = 0.15
"""Share by which numbers per second may differ from the rate that was told."""

SLOWLY: dict[str, Callable[[Path], dict[str, Any]]] = {
    "synthetic": lambda _: {"width": 96, "height": 64, "hz": HZ},
    "file": lambda folder: {"path": write_clip(folder / "clip.mp4", hz=HZ,
                                               frames=int((STREAM_S + 5) * HZ))},
    "opencv": lambda _: {"device": V4L2, "hz": 15},
    "basler": lambda _: {"AcquisitionFrameRate": HZ, "width": 160, "height": 120},
    "genicam": lambda _: {"address": "127.0.0.1", "hz": HZ, "width": 160, "height": 120},
    "network": lambda _: {"url": network_cameras.rtsp_url("h264")},
    "spinnaker": lambda _: {"hz": HZ, "width": 160, "height": 120},
    "arena": lambda _: {"hz": HZ, "width": 160, "height": 120},
    "ximea": lambda _: {"hz": HZ, "width": 160, "height": 120},
}


FAKES = ("spinnaker", "arena", "ximea", *(() if V4L2.exists() else ("opencv",)))
"""Not paced by themselves; they stand in the place of a library, for all threads."""


@dataclass
class Stream:
    """What one camera gave."""

    backend: str
    nominal_hz: float = 0.0
    headers: list[FrameHeader] = field(default_factory=list)
    asked_ns: list[int] = field(default_factory=list)
    """When we asked for each frame."""
    error: BaseException | None = None

    def run(self, folder: Path) -> None:
        """A thread of its own; what it fails with is in `error`."""
        try:
            self._run(folder)
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.error = error

    def _run(self, folder: Path) -> None:
        case = CASES[self.backend]
        with contextlib.nullcontext() if self.backend in FAKES else case.world():
            camera = make_camera(self.backend, case.serial, SLOWLY[self.backend](folder))
            try:
                spec = camera.open()
                self.nominal_hz = spec.nominal_hz
                camera.start()
                self._grab_all(camera, blank(spec))
                camera.stop()
            finally:
                camera.close()

    def _grab_all(self, camera: Camera, into: Pixels) -> None:
        clock, due = SystemClock(), threading.Event()
        began_ns = now_ns = clock.monotonic_ns()
        while now_ns < began_ns + STREAM_S * 1e9:
            if self.backend in FAKES:
                due_ns = began_ns + int(len(self.headers) * 1e9 / self.nominal_hz)
                due.wait(max(0.0, (due_ns - now_ns) / 1e9))
            with contextlib.suppress(CameraTimeout):
                header = camera.grab(into, GRAB_S)
                self.asked_ns.append(now_ns)
                self.headers.append(header)
            now_ns = clock.monotonic_ns()

    def problems(self) -> list[str]:
        """What a stream must not be."""
        if self.error is not None:
            return [f"{type(self.error).__name__}: {self.error}"]
        numbers = [header.number for header in self.headers]
        times = [header.monotonic_ns for header in self.headers]
        if len(numbers) < 0.3 * STREAM_S * self.nominal_hz:
            return [f"{len(numbers)} frames at {self.nominal_hz} Hz"]
        found = []
        if any(later <= sooner for sooner, later in itertools.pairwise(numbers)):
            found.append(f"numbers do not rise: {numbers}")
        if any(later <= sooner for sooner, later in itertools.pairwise(times)):
            found.append("times do not rise")
        hz = (numbers[-1] - numbers[0]) * 1e9 / (times[-1] - times[0])
        if abs(hz / self.nominal_hz - 1) > RATE_TOLERANCE:
            found.append(f"{hz:.2f} numbers a second, told {self.nominal_hz:.2f}")
        found += [f"{numbers[at] - numbers[at - 1] - 1} frames missing before {numbers[at]}"
                  for at in range(1, len(numbers)) if not self._is_excused(at)]
        return found

    def _is_excused(self, at: int) -> bool:
        """Whether nothing is missing before this frame, or we asked for it too late to get it."""
        missing = self.headers[at].number - self.headers[at - 1].number - 1
        late_s = (self.asked_ns[at] - self.asked_ns[at - 1]) / 1e9
        return missing == 0 or late_s * self.nominal_hz > 2


def started(stream: Stream, folder: Path) -> threading.Thread:
    folder.mkdir()
    thread = threading.Thread(target=stream.run, args=(folder,), name=stream.backend)
    thread.start()
    return thread


def here() -> list[str]:
    """The backends that can stream on this machine."""
    return [name for name in backend_names() if not CASES[name].skip()]


@pytest.fixture(scope="session", autouse=True)
def usb_watch() -> None:
    gige.start_usb_watch()


@pytest.mark.slow
@pytest.mark.timeout(int(STREAM_S + 2 * PATIENCE_S))
def test_every_backend_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "2")
    assert set(SLOWLY) == set(backend_names())
    streams = [Stream(name) for name in here()]
    with contextlib.ExitStack() as worlds:
        for name in FAKES:
            worlds.enter_context(CASES[name].world())
        threads = [started(stream, tmp_path / stream.backend) for stream in streams]
        for thread in threads:
            thread.join(STREAM_S + PATIENCE_S)
    assert [thread.name for thread in threads if thread.is_alive()] == []
    problems = {one.backend: found for one in streams if (found := one.problems())}
    assert problems == {}
    for one in streams:
        print(f"{one.backend}: {len(one.headers)} frames at {one.nominal_hz:g} Hz")
    absent = sorted(set(backend_names()) - {one.backend for one in streams})
    if absent:
        pytest.skip("the others stream; not here: " + "; ".join(
            f"{name}: {CASES[name].skip()}" for name in absent))
