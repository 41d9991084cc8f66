"""The binding of libaravis against a camera over the real protocol; nothing is left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera import aravis
from fieldrec.camera.aravis import AravisError, Library, discover
from fieldrec.camera.aravis_device import SUCCESS, Device, Stream
from fieldrec.core.errors import CameraError
from tests.fakes import gige

ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module", autouse=True)
def usb_watch() -> None:
    gige.start_usb_watch()


@pytest.fixture
def device() -> Iterator[Device]:
    if reason := gige.why_not():
        pytest.skip(reason)
    with gige.own_network(), gige.FakeGigeCamera("TEST7"):
        made = Device(ADDRESS)
        yield made
        made.close()


def test_features_are_read_and_written_as_what_they_are(device: Device) -> None:
    assert [device.kind(name) for name in (
        "Width", "ExposureTimeAbs", "PixelFormat", "DeviceModelName", "AcquisitionStart", "Root",
        "Nonsense")] == ["integer", "float", "enumeration", "string", "command", "other", None]
    assert device.read("DeviceModelName") == "Fake"
    device.write("Width", 640)
    device.write("ExposureTimeAbs", 2500)
    device.write("PixelFormat", "BayerRG8")
    assert [device.read(name) for name in ("Width", "ExposureTimeAbs", "PixelFormat")] == [
        640, 2500.0, "BayerRG8"]


def test_ranges_choices_and_access(device: Device) -> None:
    assert device.limits("Width") == (1, 2048, 1)
    assert device.limits("ExposureTimeAbs")[:2] == (10.0, 10_000_000.0)
    assert device.choices("TriggerMode") == ("Off", "On")
    assert device.is_writable("Width")
    assert not device.is_writable("SensorWidth")
    assert not device.is_writable("Nonsense")
    assert {"Width", "TriggerMode", "DeviceID"} <= set(device.names())
    assert not {"Root", "ImageFormatControl"} & set(device.names())


def test_errors_are_the_librarys_words_on_one_line(device: Device) -> None:
    with pytest.raises(AravisError, match="'Foo' not an entry") as error:
        device.write("TriggerMode", "Foo")
    assert not error.value.device_gone
    with pytest.raises(AravisError, match="Nonsense"):
        device.read("Nonsense")


def test_the_camera_is_found_and_opened_by_its_id(device: Device) -> None:
    device.close()
    (seen,) = [camera for camera in discover() if camera.serial == "TEST7"]
    assert (seen.address, seen.vendor, seen.model, seen.protocol) == (
        ADDRESS, "Aravis", "Fake", "GigEVision")
    again = Device(seen.id)
    assert again.is_gige
    assert again.is_ours()
    again.close()


def test_fifty_openings_leave_nothing_behind(device: Device) -> None:
    device.close()
    _open_once(streaming=True)
    files, kilobytes = _descriptors(), []
    for number in range(50):
        _open_once(streaming=number % 5 == 0)  # a stream takes 0.2 s
        kilobytes.append(_resident_kilobytes())
    assert _descriptors() == files
    assert kilobytes[-1] - kilobytes[9] < 1024  # the buffers of one stream alone are 1024


def test_errors_are_freed(device: Device) -> None:
    before = _resident_kilobytes()
    for _ in range(40_000):
        with contextlib.suppress(AravisError):
            device.read("Nonsense")
    assert _resident_kilobytes() - before < 512  # not freed they are some 1500


def test_without_the_library_the_package_is_named() -> None:
    with pytest.raises(CameraError, match=r"run: apt install libaravis-0\.8-0$") as error:
        Library("libaravis-0.8.so.99")
    assert "\n" not in str(error.value)


def test_a_library_that_lacks_a_function_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := gige.why_not():
        pytest.skip(reason)
    monkeypatch.setitem(aravis._MAY_WAIT, "arv_camera_of_tomorrow", (None, ()))
    with pytest.raises(CameraError, match=r"too old .*arv_camera_of_tomorrow"):
        Library(aravis.SONAME)


class LibraryWithChunks(Library):
    """Stands in for a camera that sends chunk data, which the fake camera does not."""

    def __init__(self) -> None:
        pass

    def function(self, name: str) -> Any:
        return lambda *_: 7_000

    def call(self, name: str, *arguments: Any) -> Any:
        assert name == "arv_chunk_parser_get_integer_value"
        assert arguments == (2, 3, b"ChunkTimestamp")
        return 1_000


def test_times_come_from_the_chunks_in_the_cameras_ticks_if_wanted() -> None:
    lib = LibraryWithChunks()
    assert Stream(lib, 1).device_time_ns(3) == 7_000
    assert Stream(lib, 1, parser=2, tick_ns=8.0).device_time_ns(3) == 8_000


def _open_once(*, streaming: bool) -> None:
    """Open, read a feature of each kind, fail once, take a frame, close."""
    device = Device(ADDRESS)
    for name in ("Width", "ExposureTimeAbs", "DeviceModelName"):
        device.read(name)
    device.choices("PixelFormat")
    with pytest.raises(AravisError):
        device.write("TriggerMode", "Foo")
    if streaming:
        stream = device.stream(4, resend=True, chunks=False)
        device.camera("start_acquisition")
        buffer = stream.take(10.0)
        assert buffer is not None
        assert stream.status(buffer) == SUCCESS
        stream.give_back(buffer)
        device.camera("stop_acquisition")
        stream.close()
    device.close()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident_kilobytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // 1024
