"""Network cameras: addresses and passwords, RTSP and HTTP servers on loopback, and what they do
wrong. Nothing here waits for a time; pictures are told by the numbers in them."""

from __future__ import annotations

import functools
import itertools
import signal
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fieldrec.camera import blank
from fieldrec.camera.burnt_number import read_number
from fieldrec.camera.configured import with_absolute_paths
from fieldrec.camera.discovery import make_camera
from fieldrec.camera.network import NetworkCamera, Options, address, shown
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.config.models import CameraConfig, Config
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraEnded, CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import CameraState, ClockQuality, FrameHeader, FrameSpec
from fieldrec.record.outcome import Outcome
from fieldrec.record.place import GivenPath
from fieldrec.record.recorder import Recorder
from fieldrec.store.reader import StoreReader
from fieldrec.store.video.packet_form import packet_form
from fieldrec.store.writer import StoreWriter
from tests.fakes.cameras import Watching
from tests.fakes.coded_streams import jpeg_packets
from tests.fakes.network_cameras import (
    MjpegServer,
    RtspServer,
    no_rtsp,
    part,
    shared_rtsp,
)
from tests.fakes.rtsp_server import PASSWORD, USER

PICTURES = tuple(packet.data for packet in jpeg_packets(60, width=160, height=120))
LONG_S = 20.0
rtsp = pytest.mark.skipif(bool(no_rtsp()), reason=no_rtsp() or "there is one")
Shown = tuple[int, int | None]


class _Opened(NetworkCamera):
    """Remembers what it said of its frames."""

    def open(self) -> FrameSpec:
        self.open_spec = super().open()
        return self.open_spec


@contextmanager
def opened(url: str, **options: Any) -> Iterator[_Opened]:
    """A camera that is open and started."""
    camera = _Opened("net", Options.model_validate({"url": url, **options}))
    try:
        camera.open()
        camera.start()
        yield camera
    finally:
        camera.close()


# --- options -----------------------------------------------------------------------------------

def test_user_and_password_go_into_the_address_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\nnot this\n")
    for given in ({"url": "rtsp://anna:p%40ss@cam:554/live?token=t0ken"},
                  {"url": "rtsp://cam:554/live?token=t0ken", "user": "anna", "password": "p@ss"}):
        options = Options.model_validate(given)
        made = address(options)
        assert made.url == "rtsp://anna:p%40ss@cam:554/live?token=t0ken"
        assert made.shown == "rtsp://cam:554/live"
    options = Options.model_validate({"url": "http://cam/mjpg", "user": "a:b/c", "password": "x",
                                      "password_file": tmp_path / "secret"})
    assert address(options).url == "http://a%3Ab%2Fc:from%20a%20file@cam/mjpg"
    assert "x'" not in repr(options)
    assert "p@ss" not in repr(Options.model_validate({"url": "rtsp://c/l", "password": "p@ss"}))


def test_an_axis_camera_by_its_host() -> None:
    options = Options(axis="cam-7", resolution="640x360", hz=12.5, camera=2, user="u")
    assert address(options).url == (
        "rtsp://u:@cam-7/axis-media/media.amp?videocodec=h264&audio=0&camera=2"
        "&resolution=640x360&fps=12.5")
    assert shown(options) == "rtsp://cam-7/axis-media/media.amp"
    by_http = Options(axis="cam-7", codec="mjpeg", transport="http")
    assert address(by_http).url == "http://cam-7/axis-cgi/mjpg/video.cgi?camera=1"


@pytest.mark.parametrize(("given", "why"), [
    ({}, "either url or axis"), ({"url": "rtsp://c/x", "axis": "c"}, "either url or axis"),
    ({"url": "file:///etc/passwd"}, "must begin with rtsp"), ({"url": "cam/x"}, "must begin with"),
    ({"url": "rtsp://"}, "name a host"), ({"url": "rtsp://[::1/x"}, "name a host"),
    ({"axis": "c", "transport": "http"}, "for axis with codec mjpeg"),
    ({"url": "http://c/x", "transport": "http"}, "for axis with codec mjpeg"),
    ({"axis": "c", "resolution": "big"}, "resolution")])
def test_wrong_options(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Options.model_validate(given)


def test_a_password_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    config = Config.model_validate({"cameras": {"left": {
        "backend": "network", "options": {"url": "rtsp://c/x", "password_file": "secret"}}}})
    camera = with_absolute_paths(config, tmp_path).cameras["left"]
    assert isinstance(camera, CameraConfig)
    assert camera.options["password_file"] == str(tmp_path / "secret")
    made = make_camera("network", "left", camera.options)
    with pytest.raises(CameraError, match=r"secret: the password cannot be read \(No such file"):
        made.open()


# --- RTSP --------------------------------------------------------------------------------------

@rtsp
@pytest.mark.parametrize(("name", "transport", "pixel_format"), [
    ("h264", "tcp", "BGR8"), ("h264", "udp", "MONO8"), ("mjpeg", "tcp", "MONO8"),
    ("mjpeg", "udp", "BGR8")])
def test_frames_are_those_that_the_server_sends(name: str, transport: str, pixel_format: str
                                                ) -> None:
    camera = NetworkCamera("net", Options.model_validate({
        "url": shared_rtsp().url(name), "transport": transport, "pixel_format": pixel_format}))
    try:
        spec = camera.open()
        assert spec.shape == ((120, 160) if pixel_format == "MONO8" else (120, 160, 3))
        assert spec.nominal_hz == 50
        camera.start()
        into = blank(spec)
        found, before = [], 0
        for _ in range(15):
            header = camera.grab(into, LONG_S)
            found.append((header.number, read_number(into)))
            assert before <= header.monotonic_ns <= SystemClock().monotonic_ns()
            before = header.monotonic_ns
    finally:
        camera.close()
    shift = found[0][0] - (found[0][1] or 0)
    assert all(burnt is not None and number - burnt == shift for number, burnt in found)


@rtsp
def test_the_cameras_wall_clock_comes_with_its_reports() -> None:
    with opened(shared_rtsp().url("h264"), store="packets") as camera:
        into = blank(camera.open_spec)
        found: list[tuple[int, int]] = []
        while len(found) < 10:
            header = camera.grab(into, LONG_S)
            if header.device_time_ns is not None:
                found.append((header.number, header.device_time_ns))
        late_ns = SystemClock().epoch_ns() - found[-1][1]
    steps = [(later[1] - sooner[1]) / (later[0] - sooner[0])
             for sooner, later in itertools.pairwise(found)]
    assert all(abs(step - 20e6) < 2e6 for step in steps), steps  # 50 Hz, by RTP's ticks
    assert 0 < late_ns < LONG_S * 1e9


@rtsp
@pytest.mark.parametrize("name", ["h264", "mjpeg"])
def test_packets_make_a_store_without_decoding(tmp_path: Path, name: str) -> None:
    with opened(shared_rtsp().url(name), store="packets") as camera:
        spec = camera.open_spec
        form = packet_form(spec.pixel_format)
        assert form is not None
        store = StoreWriter(tmp_path / "s", spec, chunksize=12, timezone="UTC", user_metadata={},
                            created_epoch_ns=SystemClock().epoch_ns(), form=form)
        into = blank(spec)
        headers = []
        for _ in range(40):
            header = camera.grab(into, LONG_S)
            packet = into.reshape(-1).data[:header.packet_bytes]
            assert store.append_packet(packet, header.key, header.number, header.monotonic_ns,
                                       header.device_time_ns)
            headers.append(header)
    store.close()
    assert headers[0].key
    assert sum(header.key for header in headers) == (4 if name == "h264" else 40)
    with StoreReader(tmp_path / "s") as reader:
        assert reader.problems == ()
        burnt = [read_number(reader.read(at)) for at in range(40)]
        assert burnt[0] is not None
        assert burnt == list(range(burnt[0], burnt[0] + 40))
        assert reader.numbers.tolist() == [header.number for header in headers]


@rtsp
def test_b_frames_are_decoded_and_refused_as_packets() -> None:
    with opened(shared_rtsp().url("h264-b")) as camera:
        into = blank(camera.open_spec)
        found = [(camera.grab(into, LONG_S).number, read_number(into)) for _ in range(15)]
    assert [burnt for _, burnt in found] == list(range(found[0][1] or 0, (found[0][1] or 0) + 15))
    assert [number for number, _ in found] == list(range(found[0][0], found[0][0] + 15))
    with (opened(shared_rtsp().url("h264-b"), store="packets") as camera,
          pytest.raises(CameraError, match=r"B-frames.*switch them off on the camera")):
        grab_until_error(camera)


def grab_until_error(camera: _Opened) -> None:
    into = blank(camera.open_spec)
    while True:
        camera.grab(into, LONG_S)


@rtsp
@pytest.mark.parametrize(("closed", "name", "options", "why"), [
    (False, "none", {}, "the camera has no such stream; check the path"),
    (True, "h264", {}, "wants a user and a password"),
    (True, "h264", {"user": USER, "password": "s3cret"}, "wants a user and a password")])
def test_streams_that_cannot_be_opened(closed: bool, name: str, options: dict[str, str], why: str
                                       ) -> None:
    server = shared_rtsp()
    url = server.closed_url(name) if closed else server.url(name)
    camera = NetworkCamera("net", Options.model_validate({"url": url, **options}))
    for _ in range(2):
        with pytest.raises(CameraError, match=why) as error:
            camera.open()
        assert str(error.value).startswith(url)
        assert "\n" not in str(error.value)
        assert "s3cret" not in str(error.value)
    camera.close()


@rtsp
def test_with_the_password_it_opens(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD + "\n", encoding="utf-8")
    with opened(shared_rtsp().closed_url("h264"), user=USER,
                password_file=tmp_path / "secret") as camera:
        assert camera.grab(blank(camera.open_spec), LONG_S).number >= 0
    in_url = shared_rtsp().closed_url("h264").replace(
        "rtsp://", f"rtsp://{USER}:{urllib.parse.quote(PASSWORD, safe='')}@")
    with opened(in_url) as camera:
        assert camera.grab(blank(camera.open_spec), LONG_S).number >= 0


@pytest.mark.parametrize(("url", "why"), [
    ("rtsp://127.0.0.1:1/x", "nobody answers at that port"),
    ("http://127.0.0.1:1/x", "nobody answers at that port"),
    ("rtsp://no-such-host.invalid/x", "cannot be reached")])
def test_cameras_that_are_not_there(url: str, why: str) -> None:
    camera = NetworkCamera("net", Options(url=url, user="anna", password="s3cret"))  # type: ignore[arg-type]
    with pytest.raises(CameraError, match=why) as error:
        camera.open()
    assert not isinstance(error.value, CameraLost)
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None
    camera.close()


@rtsp
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_server_that_dies_is_a_lost_camera_and_comes_back(transport: str) -> None:
    server = RtspServer()
    camera = NetworkCamera("net", Options.model_validate({
        "url": server.url("h264"), "transport": transport}))
    try:
        into = blank(camera.open())
        camera.start()
        camera.grab(into, LONG_S)
        server.signal(signal.SIGKILL)
        with pytest.raises(CameraLost, match=r"ended the connection|broke off"):
            while True:
                camera.grab(into, LONG_S)
        with pytest.raises(CameraLost):
            camera.grab(into, LONG_S)
        server.close()
        camera.close()
        with pytest.raises(CameraError, match="nobody answers"):
            camera.open()
        server = RtspServer(server.port, server.closed_port)
        camera.open()
        camera.start()
        assert camera.grab(into, LONG_S).number >= 0
    finally:
        camera.close()
        server.close()


@rtsp
def test_a_server_that_falls_silent_is_a_lost_camera() -> None:
    server = RtspServer()
    try:
        with opened(server.url("h264"), stall_s=1) as camera:
            into = blank(camera.open_spec)
            camera.grab(into, LONG_S)
            server.signal(signal.SIGSTOP)
            with pytest.raises(CameraLost, match="nothing came for 1 s"):
                while True:
                    camera.grab(into, LONG_S)
    finally:
        server.close()


# --- HTTP --------------------------------------------------------------------------------------

def endless(parts: Iterable[bytes]) -> list[bytes]:
    return list(parts) * 20


def held_back(parts: Iterable[bytes], may_go_on: threading.Event) -> Iterator[bytes]:
    """The first ten, and the others when the test says so: then the camera is started."""
    for at, data in enumerate(parts):
        if at == 10:
            may_go_on.wait(LONG_S)
        yield data


def next_of(served: Iterator[Iterable[bytes]], connection: int) -> Iterable[bytes]:
    del connection
    return next(served)


def over_http(parts: Iterable[bytes], count: int = 45, **options: Any) -> list[Shown]:
    """(number, number burnt in) of what a server of these parts gives."""
    given = endless(parts)
    with MjpegServer(lambda _: given, hz=200) as server, \
            opened(server.url, hz=200, **options) as camera:
        into = blank(camera.open_spec)
        return [(camera.grab(into, LONG_S).number, read_number(into)) for _ in range(count)]


def consecutive(found: list[Shown], numbers: range) -> bool:
    """Whether the burnt-in numbers of what came are those, round and round."""
    burnt = [number for _, number in found]
    first = numbers.index(burnt[0])  # type: ignore[arg-type]
    return burnt == [numbers[(first + at) % len(numbers)] for at in range(len(burnt))]


@pytest.mark.parametrize("how", [{}, {"length": False}, {"boundary": "another"},
                                 {"boundary": "another", "length": False}])
def test_mjpeg_over_http_however_its_parts_are_told(how: dict[str, Any]) -> None:
    found = over_http(part(picture, **how) for picture in PICTURES)
    assert consecutive(found, range(60))
    assert [number - found[0][0] for number, _ in found] == list(range(45))


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("store", ["frames", "packets"])
def test_half_a_picture_is_left_out_and_nothing_else(length: bool, store: str) -> None:
    """One damaged picture must not end a night: its number is missing."""
    def damaged(at: int, picture: bytes) -> bytes:
        return part(picture[:len(picture) // 2] if at % 20 == 10 else picture, length=length)

    given = endless(damaged(at, picture) for at, picture in enumerate(PICTURES))
    with MjpegServer(lambda _: given, hz=200) as server, \
            opened(server.url, hz=200, store=store) as camera:
        into = blank(camera.open_spec)
        numbers = [camera.grab(into, LONG_S).number for _ in range(45)]
    assert all(number % 20 != 10 for number in numbers)
    missing = set(range(numbers[0], numbers[-1])) - set(numbers)
    assert missing == {number for number in range(numbers[0], numbers[-1]) if number % 20 == 10}


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_stream_that_loses_its_thread_finds_it_again(damage: str) -> None:
    """A length that promises more than comes swallows the beginning of the next part."""
    def sent(at: int, picture: bytes) -> bytes:
        if at % 20 != 10:
            return part(picture)
        return (part(picture[:len(picture) // 2], told_bytes=len(picture)) if damage == "cut"
                else b"xyz\r\n\0\1garbage\r\n")

    found = over_http(sent(at, picture) for at, picture in enumerate(PICTURES))
    burnt = [number for _, number in found]
    assert None not in burnt
    assert not {10, 30, 50} & set(burnt)
    at = [row for row, number in enumerate(burnt) if number == 9]
    assert at
    assert all(found[row + 1][0] > found[row][0] + 1 for row in at if row + 1 < len(found))


@pytest.mark.parametrize("last", [b"", part(PICTURES[30])[:400]])
def test_a_server_that_drops_the_connection_is_a_lost_camera_and_comes_back(last: bytes) -> None:
    first = [*(part(picture) for picture in PICTURES[:30]), last]
    second = endless(part(picture) for picture in PICTURES)
    started = threading.Event()
    with MjpegServer(lambda n: second if n else held_back(first, started), hz=100) as server:
        camera = NetworkCamera("net", Options(url=server.url, hz=100))
        try:
            into = blank(camera.open())
            camera.start()
            started.set()
            burnt = []
            with pytest.raises(CameraLost, match=r"broke off|ended the connection"):
                while True:
                    camera.grab(into, LONG_S)
                    burnt.append(read_number(into))
            assert burnt[-1] == 29
            camera.close()
            camera.open()
            camera.start()
            assert camera.grab(into, LONG_S).number >= 0
        finally:
            started.set()
            camera.close()


def test_another_size_needs_a_new_recording() -> None:
    given = [part(packet.data) for packet in (*jpeg_packets(20, width=160, height=120),
                                              *jpeg_packets(20, width=64, height=48))]
    for store in ("frames", "packets"):
        started = threading.Event()
        served: Iterator[Iterable[bytes]] = iter([held_back(given, started), endless(given[20:])])
        with MjpegServer(functools.partial(next_of, served)) as server, \
                opened(server.url, hz=50, store=store) as camera:
            started.set()
            into = blank(camera.open_spec)
            with pytest.raises(CameraError, match="64x48 now, not of 160x120 any more") as error:
                while True:
                    camera.grab(into, LONG_S)
            assert not isinstance(error.value, CameraEnded)
            assert str(error.value).startswith(server.url)
            camera.close()
            assert camera.open().shape[:2] == (48, 64)


def test_packets_of_an_odd_size_are_refused_and_frames_are_not() -> None:
    given = endless(part(packet.data) for packet in jpeg_packets(20, width=161, height=121))
    with MjpegServer(lambda _: given) as server:
        with opened(server.url, hz=50) as camera:
            assert camera.open_spec.shape == (121, 161, 3)
            assert camera.grab(blank(camera.open_spec), LONG_S).number >= 0
        refused = NetworkCamera("net", Options(url=server.url, hz=50, store="packets"))
        with pytest.raises(CameraError, match="161x121 cannot be recorded: a video has an even"):
            refused.open()


def test_the_rate_of_a_stream_that_does_not_tell_it_is_measured() -> None:
    given = endless(part(picture) for picture in PICTURES)
    with MjpegServer(lambda _: given, hz=40) as server, opened(server.url) as camera:
        assert 0 < camera.open_spec.nominal_hz <= 500  # roughly: this machine does other things too


@pytest.mark.parametrize(("status", "head", "why"), [
    ("404 Not Found", "", "no such stream"),
    ("401 Unauthorized", 'WWW-Authenticate: Basic realm="cam"', "wants a user and a password"),
    ("403 Forbidden", "", "this user may not see the stream"),
    ("500 Internal Server Error", "", "the camera refuses"),
    ("200 OK", "Content-Type: text/html", "is no video")])
def test_servers_that_refuse(status: str, head: str, why: str) -> None:
    with MjpegServer(lambda _: [b"<html>"], status=status, head=head) as server:
        camera = NetworkCamera("net", Options(url=server.url))
        with pytest.raises(CameraError, match=why) as error:
            camera.open()
        assert "\n" not in str(error.value)
        camera.close()


def test_a_server_that_says_nothing_is_given_up() -> None:
    with MjpegServer(lambda _: [b"--fieldrec\r\n"] * 1000, hz=1) as server:
        camera = NetworkCamera("net", Options(url=server.url, open_timeout_s=0.2))
        with pytest.raises(CameraError, match=r"no answer within 0\.2 s"):
            camera.open()
        camera.close()


def test_what_is_not_there_yet_is_a_timeout() -> None:
    given = [part(picture) for picture in PICTURES[:3]] + [b""] * 1000
    with MjpegServer(lambda _: given, hz=50) as server, opened(server.url, hz=50, stall_s=1
                                                               ) as camera:
        into = blank(camera.open_spec)
        with pytest.raises(CameraTimeout):
            for _ in range(4):
                camera.grab(into, 0.05)
        with pytest.raises(CameraLost, match="nothing came for 1 s"):
            for _ in range(4):
                camera.grab(into, LONG_S)
        camera.stop()
        with pytest.raises(CameraLost):
            camera.start()


def test_a_packet_that_does_not_fit_the_slot_is_left_out() -> None:
    large = PICTURES[10] + bytes(160 * 120 * 3)
    found: list[FrameHeader] = []
    given = endless(part(large if at == 10 else picture) for at, picture in enumerate(PICTURES))
    with MjpegServer(lambda _: given, hz=200) as server, \
            opened(server.url, hz=200, store="packets") as camera:
        into = blank(camera.open_spec)
        while len(found) < 70:
            found.append(camera.grab(into, LONG_S))
    assert all(isinstance(header, FrameHeader) and header.number % 60 != 10 for header in found)


# --- recorded ----------------------------------------------------------------------------------

@pytest.mark.asyncio
@pytest.mark.parametrize("store", ["frames", "packets"])
async def test_a_recorder_keeps_what_came_and_goes_on_when_the_camera_is_back(tmp_path: Path,
                                                                              store: str) -> None:
    first = [part(picture) for picture in PICTURES[:40]]
    second = endless(part(picture) for picture in PICTURES)
    watching, started = Watching(), threading.Event()
    outcomes: list[Outcome] = []
    with MjpegServer(lambda n: second if n else held_back(first, started), hz=50) as server:
        camera = NetworkCamera("net", Options.model_validate(
            {"url": server.url, "hz": 50, "store": store}))
        recorder = Recorder(
            "net", camera, serial="net", store=StoreConfig(chunksize=10), timezone="UTC",
            record=RecordConfig(ring_s=1), clock=SystemClock(), on_change=watching.on_change,
            quality=lambda: ClockQuality.NTP)
        recorder.listen(watching.on_event, lambda _, outcome: outcomes.append(outcome),
                        lambda *_: None)
        try:
            await recorder.open()
            await recorder.start(GivenPath(tmp_path / "a"), {})
            started.set()
            await watching.until(lambda: recorder.state is CameraState.FAILED)
            await recorder.open()
            await recorder.start(GivenPath(tmp_path / "b"), {})
            await watching.until(lambda: recorder.status().frame_count >= 20)
            await recorder.stop()
        finally:
            started.set()
            await recorder.close()
    assert len(outcomes) == 2
    for name, last in (("a", 39), ("b", None)):
        with StoreReader(tmp_path / name) as reader:
            assert reader.problems == ()
            assert reader.metadata.is_video == (store == "packets")
            burnt = [read_number(reader.read(at)) for at in range(reader.frame_count)]
            assert burnt[0] is not None
            assert burnt == list(range(burnt[0], burnt[0] + len(burnt)))
            assert last in (None, burnt[-1])
            assert len(burnt) >= 20
