"""`fieldrec view camera:…`: a camera as it is now, in a window, in the terminal or on a sheet.

Frames are grabbed in a thread of their own (`view-camera`), as fast as they come, so that what is
drawn is the newest one however slow drawing is. The main thread draws. The camera is opened as a
recording would open it, with what the configuration does to its frames.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldrec.camera import Camera, Pixels, blank
from fieldrec.core.errors import (
    CameraEnded,
    CameraError,
    CameraTimeout,
    NotFoundError,
    StateError,
    UsageError,
)
from fieldrec.core.model import FrameHeader, FrameSpec

if TYPE_CHECKING:
    from fieldrec.cli.sheet import Cell, Picture
    from fieldrec.cli.where import Where

PREFIX = "camera:"
GRAB_S = 0.5
"""One wait for a frame; also how late a silent camera sees that viewing ends."""
SILENT_S = 2.0
"""Without a frame for longer (and three periods) it is said."""
DRAWN_HZ = 30.0
QUIET_S = 60.0
"""A sheet waits so long for a frame."""
KEYS_HELP = "space holds the picture, q quits"

_RATE_FRAMES = 30


def camera_for(where: Where, name: str) -> tuple[str, Camera]:
    """Name and closed camera of what stands behind "camera:": a key or a serial of the
    configuration, a SPEC, or a serial as `fieldrec cameras` lists it. Takes seconds for the last.

    StateError when a daemon has the camera; NotFoundError, UsageError.
    """
    from fieldrec.camera.configured import configured_camera
    from fieldrec.record.preparing import prepared

    config = where.load()
    keys = [key for key, camera in config.cameras.items() if name in (key, camera.serial)]
    if keys:
        key, entry = keys[0], config.cameras[keys[0]]
        _refuse_taken(config, key, entry.serial or key)
        return key, prepared(configured_camera(key, entry), entry.prepare)
    spec = name if _is_spec(name) else _found_spec(name)
    return _by_spec(config, spec)


def _is_spec(name: str) -> bool:
    from fieldrec.camera.discovery import backend_names

    return name.partition(":")[0] in backend_names()


def _found_spec(serial: str) -> str:
    from fieldrec.camera.looking import finders, look

    if not serial:
        raise UsageError("camera: which one is missing; give a key of the configuration, a serial, "
                         "or a SPEC such as synthetic:640x480")
    found = [camera for camera in look(finders()) if camera.serial]
    for camera in found:
        if camera.serial == serial and camera.spec:
            return camera.spec
    raise NotFoundError(f"no camera {serial!r}; `fieldrec cameras` lists them: "
                        + (", ".join(camera.serial for camera in found) or "none is there"))


def _by_spec(config: Any, text: str) -> tuple[str, Camera]:
    from fieldrec.camera.discovery import make_camera
    from fieldrec.camera.spec import parse_spec

    spec = parse_spec(text)
    _refuse_taken(config, "", spec.serial)
    return spec.key, make_camera(spec.backend, spec.serial, spec.options)


def _refuse_taken(config: Any, key: str, serial: str) -> None:
    """StateError when the fieldrec that works on the recordings folder has this camera."""
    from fieldrec.cli.link import find_owner, run
    from fieldrec.cli.where import recordings_folders

    async def recorders() -> Any:
        owner = await find_owner(*recordings_folders(config))
        return [] if owner is None else (await owner.call("snapshot"))["recorders"]

    for recorder in run(recorders):
        if recorder["key"] == key or recorder["serial"] == serial:
            raise StateError(f"camera {recorder['key']} is in the hands of the fieldrec that runs "
                             "here (`fieldrec status` shows it); stop that one first")


class Live:
    """A running camera, for as long as the with statement lasts."""

    def __init__(self, name: str, camera: Camera) -> None:
        """Opens and starts it. CameraError."""
        self.name = name
        self._camera = camera
        self.spec = camera.open()
        try:
            self._eyes = _Eyes(self.spec)
            camera.start()
        except BaseException:
            camera.close()
            raise
        self._newest, self._spare = blank(self.spec), blank(self.spec)
        self._header: FrameHeader | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._error: CameraError | None = None
        self._times: deque[int] = deque(maxlen=_RATE_FRAMES)
        self.dropped = 0
        self.given = 0
        """Frames that came so far."""
        self._thread = threading.Thread(target=self._grab, name="view-camera", daemon=True)

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stopping = True
        self._thread.join(10 * GRAB_S)
        if not self._thread.is_alive():
            self._camera.stop()
            self._camera.close()

    def next(self, after: int, timeout_s: float) -> tuple[int, FrameHeader, Pixels] | None:
        """The newest frame, a copy, with how many came until then, once more than `after` have;
        None when none came in time. CameraEnded, CameraError when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self.given > after or self._error, timeout_s)
            if self.given > after and self._header is not None:
                return self.given, self._header, self._newest.copy()
            if self._error is not None:
                raise self._error
            return None

    def picture(self, pixels: Pixels) -> Picture:
        """A frame as people see it."""
        return self._eyes.picture(pixels)

    def status(self, header: FrameHeader | None) -> str:
        """Number, rate, dropped frames."""
        from fieldrec.status import words

        if header is None:
            return f"{self.name}   no frame yet"
        return (f"{self.name}   #{header.number}   {self.rate_hz():.1f} fps   "
                f"{words.count(self.dropped)} dropped")

    def rate_hz(self) -> float:
        """By the times of the last frames; 0 while there is but one."""
        times = list(self._times)
        elapsed_ns = times[-1] - times[0] if times else 0
        return (len(times) - 1) * 1e9 / elapsed_ns if elapsed_ns > 0 else 0.0

    def facts(self) -> str:
        """The camera in a line, for the head of a sheet."""
        height, width = self.spec.shape[:2]
        return (f"{width}x{height} {self.spec.pixel_format} · {self.rate_hz():.2f} fps · "
                f"{self.dropped} dropped")

    def _grab(self) -> None:
        while not self._stopping and self._error is None:
            try:
                header = self._camera.grab(self._spare, GRAB_S)
            except CameraTimeout:
                continue
            except CameraError as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            self._note(header)

    def _note(self, header: FrameHeader) -> None:
        with self._changed:
            if self._header is not None:
                self.dropped += max(0, header.number - self._header.number - 1)
            self._newest, self._spare = self._spare, self._newest
            self._header = header
            self._times.append(header.monotonic_ns)
            self.given += 1
            self._changed.notify_all()


class _Eyes:
    """A camera's pixels as 8-bit pictures."""

    def __init__(self, spec: FrameSpec) -> None:
        from fieldrec.store.visible import colour_code

        if spec.pixel_format in ("H264", "MJPEG"):
            raise CameraError(f"the camera gives {spec.pixel_format} packets, not pictures; set "
                              "`store: frames` in its options to look at it")
        self._code = colour_code(None, spec.pixel_format)
        bits = "".join(filter(str.isdigit, spec.pixel_format))
        deep = int(bits) if bits and 8 < int(bits) < 16 else None
        self._range = None if deep is None else (0.0, float(2 ** deep - 1))

    def picture(self, pixels: Pixels) -> Picture:
        from fieldrec.store import encodings
        from fieldrec.store.visible import grey_or_bgr, scaled, visible_range

        if self._code:
            with contextlib.suppress(ValueError):  # better the mosaic than nothing
                pixels = encodings.decode(pixels, self._code)
        shown = grey_or_bgr(pixels)
        if shown.dtype == np.uint8:
            return shown
        if self._range is None:  # 16 bits are seldom all used: what the first frame holds
            self._range = visible_range([shown])
        return scaled(shown, *self._range)


def show(live: Live, screen: Any) -> None:
    """Draw the newest frame until a key ends it; what ends the camera is raised."""
    held, silent, seen, quiet_s = False, False, 0, 0.0
    header: FrameHeader | None = None
    picture: Picture | None = None
    while True:
        began_s = time.monotonic()
        if not held:
            came = live.next(seen, GRAB_S)
            if came is not None:
                seen, header, pixels = came
                picture = live.picture(pixels)
            quiet_s = quiet_s + GRAB_S if came is None else 0.0
            silent = quiet_s > max(SILENT_S, 3 / live.spec.nominal_hz)
        mode = "held" if held else "NO FRAMES" if silent else ""
        screen.show(picture, "   ".join(part for part in (
            live.status(header), mode, KEYS_HELP) if part))
        for key in screen.keys(max(0.001, began_s + 1 / DRAWN_HZ - time.monotonic())):
            if key in ("q", "escape"):
                return
            held = held != (key == " ")


def cells(live: Live, count: int) -> list[Cell]:
    """The next `count` frames; fewer when the camera ends before. CameraError, CameraTimeout."""
    from fieldrec.cli.sheet import Cell

    found: list[Cell] = []
    seen, first_ns = 0, None
    while len(found) < count:
        try:
            came = live.next(seen, QUIET_S)
        except CameraEnded:
            if found:
                break
            raise
        if came is None:
            raise CameraTimeout(f"camera {live.name}: no frame within {QUIET_S:g} s")
        seen, header, pixels = came
        first_ns = header.monotonic_ns if first_ns is None else first_ns
        found.append(Cell(live.picture(pixels), f"#{header.number}",
                          f"+{(header.monotonic_ns - first_ns) / 1e9:.3f} s"))
    return found
