"""A file or a camera becomes a store of any format, closed in order however it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest

from fieldrec.camera.burnt_number import read_number
from fieldrec.camera.discovery import make_camera
from fieldrec.camera.file import file_facts
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core import durable
from fieldrec.core.errors import (
    CameraEnded,
    CameraError,
    CameraLost,
    FieldrecError,
    StoreError,
    StoreFull,
)
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record.saving import Plan, Saved, save_live, save_played
from fieldrec.store.reader import StoreReader
from tests.fakes.clips import write_clip
from tests.fakes.coded_streams import h264_packets

START_NS = 1_795_000_000_123_456_789
TIMES_MS = [0, 40, 83, 120, 160, 199, 290, 320, 361, 400, 444, 480]
FORMATS = ["npy", "png", "jpg", "tif+color", "mjpeg/avi", "avc1/mp4"]


def plan(path: Path, form: str = "npy", **more: Any) -> Plan:
    return Plan(path, form, 5, {"species": "frog"}, "Europe/Vienna", **more)


def played(path: Path, target: Plan, stop: threading.Event | None = None,
           on_progress: Callable[[str, int, int], None] = lambda *_: None) -> Saved:
    camera = make_camera("file", path.name, {"path": path, "paced": False,
                                             "drop_when_late": False})
    return save_played(camera, target, START_NS, stop or threading.Event(), on_progress)


def synthetic(**options: Any) -> Any:
    return make_camera("synthetic", "synthetic", {
        "width": 96, "height": 64, "hz": 200, "paced": False, "drop_when_late": False, **options})


def live(camera: Any, target: Plan, stop: threading.Event | None = None) -> Saved:
    return save_live(camera, target, stop or threading.Event(), lambda *_: None,
                     store=StoreConfig(), record=RecordConfig())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=len(TIMES_MS), times_ms=TIMES_MS)


@pytest.fixture
def hook() -> Iterator[Any]:
    yield durable.set_hook
    durable.set_hook(None)


@pytest.mark.parametrize("form", FORMATS)
def test_every_frame_of_a_file_with_its_true_time(clip: Path, tmp_path: Path, form: str) -> None:
    told: list[tuple[str, int, int]] = []
    saved = played(clip, plan(tmp_path / "frogs", form), on_progress=lambda *at: told.append(at))
    assert (saved.frame_count, saved.dropped, saved.lost) == (len(TIMES_MS), 0, 0)
    assert "played to its end" in saved.reason
    assert told[-1][:2] == ("saving", len(TIMES_MS))
    with StoreReader(tmp_path / "frogs") as store:
        assert store.times_ns.tolist() == [START_NS + at * 1_000_000 for at in TIMES_MS]
        assert store.numbers.tolist() == list(range(len(TIMES_MS)))
        assert [read_number(store.read(at)) for at in range(store.frame_count)] == list(
            range(len(TIMES_MS)))
        assert store.user_metadata["species"] == "frog"
        assert store.user_metadata["fieldrec"]["interrupted"] is False
        assert store.timezone == "Europe/Vienna"
    assert not (tmp_path / "frogs" / ".lock").exists()
    if form not in ("avc1/mp4", "tif+color"):
        theirs = imgstore.new_for_filename(str(tmp_path / "frogs"))
        assert theirs.frame_count == len(TIMES_MS)
        theirs.close()


def test_only_so_many_frames_and_a_rate_of_its_own(clip: Path, tmp_path: Path) -> None:
    saved = played(clip, plan(tmp_path / "frogs", frames=7, nominal_hz=12.5))
    assert (saved.frame_count, saved.reason) == (7, "7 frames")
    with StoreReader(tmp_path / "frogs") as store:
        assert store.spec.nominal_hz == 12.5
        assert store.frame_count == 7


def test_gaps_in_the_numbers_of_a_source_are_dropped(tmp_path: Path) -> None:
    saved = save_played(synthetic(frames=8, drop_every=3), plan(tmp_path / "frogs"), START_NS,
                        threading.Event(), lambda *_: None)
    assert (saved.frame_count, saved.dropped) == (8, 3)
    with StoreReader(tmp_path / "frogs") as store:
        assert store.numbers.tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
        assert store.user_metadata["fieldrec"]["dropped"] == 3


def test_what_a_stop_leaves_is_closed_in_order(clip: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    saved = played(clip, plan(tmp_path / "frogs"), stop,
                   lambda _phase, done, _total: stop.set() if done == 4 else None)
    assert (saved.frame_count, saved.reason) == (4, "interrupted")
    with StoreReader(tmp_path / "frogs") as store:
        assert (store.frame_count, store.problems) == (4, ())
    assert not (tmp_path / "frogs" / ".lock").exists()


@pytest.mark.parametrize("form", ["npy", "mjpeg/avi"])
def test_a_full_disk_closes_in_order(clip: Path, tmp_path: Path, hook: Any, form: str) -> None:
    """From the seventh frame on nothing more goes to the disk but what is reserved."""
    frames: list[Path] = []

    def full(step: str, path: Path) -> None:
        if step == "write" and (path.suffix == ".npy" or path.name.endswith((".open", ".avi"))):
            frames.append(path)
            if len(frames) > (6 if form == "npy" else 8):
                raise OSError(28, "No space left on device")

    hook(full)
    with pytest.raises(StoreFull, match=r"frames before are in .*closed in order"):
        played(clip, plan(tmp_path / "frogs", form))
    hook(None)
    assert not (tmp_path / "frogs" / ".lock").exists()
    with StoreReader(tmp_path / "frogs") as store:
        assert 0 < store.frame_count < len(TIMES_MS)
        assert store.problems == ()
        assert [read_number(store.read(at)) for at in range(store.frame_count)] == list(
            range(store.frame_count))


def test_a_file_that_breaks_off_keeps_what_was_before(clip: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    camera = synthetic(lost_after_frames=4)
    with pytest.raises(CameraLost, match="4 frames before are in"):
        save_played(camera, plan(tmp_path / "frogs"), START_NS, threading.Event(), lambda *_: None)
    with StoreReader(tmp_path / "frogs") as store:
        assert store.frame_count == 4
        assert "gone" in store.user_metadata["fieldrec"]["stop_reason"]


@pytest.mark.parametrize(("make", "error"), [
    (lambda: synthetic(frames=0), CameraEnded), (lambda: synthetic(fail_open=True), CameraError),
    (lambda: make_camera("file", "x", {"path": "none.mp4"}), CameraError)])
def test_without_a_frame_there_is_no_store(tmp_path: Path, make: Callable[[], Any],
                                           error: type[FieldrecError]) -> None:
    with pytest.raises(error):
        save_played(make(), plan(tmp_path / "frogs"), START_NS, threading.Event(), lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_what_the_format_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    for form in ("jpg", "mjpeg/avi"):
        with pytest.raises(StoreError, match="uint16"):
            save_played(synthetic(pixel_format="MONO16"), plan(tmp_path / "frogs", form), START_NS,
                        threading.Event(), lambda *_: None)
        assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_into_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "frogs").mkdir()
    (tmp_path / "frogs" / "note.txt").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        save_played(synthetic(), plan(tmp_path / "frogs"), START_NS, threading.Event(),
                    lambda *_: None)
    assert (tmp_path / "frogs" / "note.txt").read_text() == "mine"


# -- live cameras ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["npy", "png", "mjpeg/avi"])
def test_a_live_camera_for_so_many_frames(tmp_path: Path, form: str) -> None:
    saved = live(synthetic(paced=True, hz=100, drop_when_late=True),
                 plan(tmp_path / "frogs", form, frames=20))
    assert saved.frame_count + saved.lost == 20
    with StoreReader(tmp_path / "frogs") as store:
        assert store.frame_count == saved.frame_count
        assert [read_number(store.read(at)) for at in range(store.frame_count)] == \
            store.numbers.tolist()
        assert store.user_metadata["fieldrec"]["lost"] == saved.lost
    assert not (tmp_path / "frogs" / ".lock").exists()


def test_a_live_camera_until_it_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    camera = synthetic(paced=True, hz=100)
    grab = camera.grab

    def counted(into: Any, timeout_s: float) -> Any:
        header = grab(into, timeout_s)
        if header.number >= 5:
            stop.set()
        return header

    camera.grab = counted
    saved = live(camera, plan(tmp_path / "frogs"), stop)
    assert saved.frame_count >= 1
    assert saved.reason == "interrupted"
    with StoreReader(tmp_path / "frogs") as store:
        assert store.frame_count == saved.frame_count


def test_a_live_camera_that_is_lost_or_never_comes(tmp_path: Path) -> None:
    with pytest.raises(CameraLost, match="frames before are in"):
        live(synthetic(paced=True, hz=100, lost_after_frames=5), plan(tmp_path / "lost"))
    with StoreReader(tmp_path / "lost") as store:
        assert store.frame_count == 5
    with pytest.raises(CameraLost, match="nothing was saved"):
        live(synthetic(paced=True, lost_after_frames=0), plan(tmp_path / "never"))
    with pytest.raises(CameraError, match="does not open"):
        live(synthetic(fail_open=True), plan(tmp_path / "closed"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lost"]


class MosaicCamera:
    """A camera of a Bayer mosaic, all red."""

    def __init__(self) -> None:
        self.number = 0

    def open(self) -> FrameSpec:
        return FrameSpec((48, 64), "uint8", "BAYER_RG8", 25.0)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def grab(self, into: Any, timeout_s: float) -> Any:
        if self.number == 4:
            raise CameraEnded("done")
        into[:] = 0
        into[::2, ::2] = 200
        self.number += 1
        return FrameHeader(self.number, 10**9 + self.number * 40_000_000)


@pytest.mark.parametrize(("form", "encoding", "shape"), [
    ("npy", "cv_bayerbg", (48, 64)), ("png+color", None, (48, 64, 3)), ("jpg", None, (48, 64, 3)),
    ("mjpeg/avi", None, (48, 64, 3))])
@pytest.mark.parametrize("way", ["played", "live"])
def test_a_mosaic_is_kept_or_decoded_as_the_format_needs(
        tmp_path: Path, form: str, encoding: str | None, shape: tuple[int, ...], way: str) -> None:
    target = plan(tmp_path / "frogs", form)
    camera: Any = MosaicCamera()
    if way == "live":
        live(camera, target)
    else:
        save_played(camera, target, START_NS, threading.Event(), lambda *_: None)
    with StoreReader(tmp_path / "frogs") as store:
        assert (store.metadata.encoding, store.metadata.imgshape) == (encoding, shape)
        colour = store.decoded(2)[8:40, 8:56].reshape(-1, 3).mean(axis=0)
        assert colour[2] > 120
        assert colour[0] < 60
        assert store.frame_count == 4


class PacketCamera:
    """A camera's own H.264, its first key picture the third; ten in all."""

    def __init__(self) -> None:
        self.number = 7

    def open(self) -> FrameSpec:
        return FrameSpec((180, 320, 3), "uint8", "H264", 25.0)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def grab(self, into: Any, timeout_s: float) -> FrameHeader:
        if self.number == 17:
            raise CameraEnded("done")
        self.number += 1
        packet = h264_packets(20)[self.number]
        into.reshape(-1)[:len(packet.data)] = np.frombuffer(packet.data, np.uint8)
        return FrameHeader(self.number, self.number * 40_000_000, None, len(packet.data),
                           packet.key)


@pytest.mark.parametrize("form", [None, "h264/mkv"])
def test_packets_are_saved_as_they_come(tmp_path: Path, form: str | None) -> None:
    saved = live(PacketCamera(), Plan(tmp_path / "frogs", form, None, {}, "UTC"))
    assert (saved.frame_count, saved.lost, saved.reason) == (8, 0, "camera ended: done")
    with StoreReader(tmp_path / "frogs") as store:
        assert (store.metadata.format, store.metadata.chunksize) == ("h264/mkv", 10_000)
        assert store.user_metadata["fieldrec"]["packets"] == "H264"
        assert [read_number(store.read(at)) for at in range(8)] == list(range(10, 18))
        assert store.numbers.tolist() == list(range(10, 18))


def test_packets_are_not_saved_as_anything_else(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="packets of H264, which are stored as h264/mkv, not as"):
        live(PacketCamera(), Plan(tmp_path / "frogs", "png", None, {}, "UTC"))
    assert list(tmp_path.iterdir()) == []


# -- what a file tells -----------------------------------------------------------------------------


def test_when_a_file_began(clip: Path, tmp_path: Path) -> None:
    import os

    os.utime(clip, ns=(0, START_NS))
    facts = file_facts(clip)
    assert facts.began_by.startswith("the time at which the file was last written")
    length_ns = START_NS - facts.began_ns
    assert abs(length_ns - 520_000_000) < 50_000_000
    assert facts.pixel_format == "BGR8"
    assert facts.frame_count == len(TIMES_MS)
    assert facts.mean_hz == pytest.approx(len(TIMES_MS) / 0.52, rel=0.1)


@pytest.mark.parametrize(("told", "began_s"), [
    ("2026-11-21T06:00:12.500000Z", 1_795_240_812), ("2026-11-21 07:00:12+01:00", 1_795_240_812),
    ("1970-01-01T00:00:00.000000Z", None), ("soon", None)])
def test_the_creation_time_of_a_file(tmp_path: Path, told: str, began_s: int | None) -> None:
    import av

    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as movie:
        movie.metadata["creation_time"] = told
        stream: Any = movie.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        movie.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint8), "gray")))
        movie.mux(stream.encode(None))
    facts = file_facts(path)
    assert facts.pixel_format == "MONO8"
    if began_s is None:
        assert "last written" in facts.began_by
    else:
        assert (facts.began_ns // 10**9, facts.began_by) == (began_s, "the file's creation_time")
