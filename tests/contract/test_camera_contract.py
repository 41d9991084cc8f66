"""What every camera backend must do; each module in fieldrec/camera is enrolled by being there."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.camera import Camera, blank, opencv
from fieldrec.camera.discovery import backend_names, make_camera, options_model
from fieldrec.camera.parameters import (
    Configurable,
    Parameter,
    allowed,
    check_value,
    configure,
    parameters_of,
)
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, ConfigError, UsageError
from tests.fakes import arena_sdk, gige, network_cameras, pyspin, xiapi
from tests.fakes.clips import write_clip
from tests.fakes.genicam_camera import FakeCamera, camera_nodes
from tests.fakes.v4l2_device import RecordedDevice

V4L2 = Path("/dev/video0")


@dataclass(frozen=True)
class Case:
    """How to make a camera of one backend that works, one that is slow, and one that fails."""

    options: Callable[[Path], dict[str, Any]]
    slow: Callable[[Path], dict[str, Any]]
    """The second frame comes no sooner than about a second after the first."""
    broken: Callable[[Path], dict[str, Any]]
    serial: str = "contract"
    broken_serial: str = "contract"
    skip: Callable[[], str] = field(default=lambda: "")
    """Why it cannot be tried here; "" when it can."""
    world: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    """What must be there while the camera is used: a server, a network."""
    lost: Callable[[Path], dict[str, Any]] | None = None
    """A camera that goes away after a few frames and is there again when it is opened; where the
    backend can be made to do that by its options."""


@contextlib.contextmanager
def _v4l2() -> Iterator[None]:
    """The camera that is plugged in, or a recorded one in the kernel's place."""
    with pytest.MonkeyPatch.context() as patch:
        if not V4L2.exists():
            patch.setattr(opencv, "_KERNEL", RecordedDevice(path=str(V4L2)))
            patch.setattr(opencv, "resolve", lambda device, *_: device)
        yield


def _flir() -> AbstractContextManager[None]:
    return pyspin.installed(FakeCamera("contract", camera_nodes("contract")))


def _lucid() -> AbstractContextManager[None]:
    return arena_sdk.installed(FakeCamera("contract", camera_nodes("contract")))


def _ximea() -> AbstractContextManager[None]:
    return xiapi.installed(xiapi.FakeXimea("contract"))


def _no_pylon() -> str:
    found = importlib.util.find_spec("pypylon")
    return "" if found else "pypylon is not installed: pip install 'fieldrec[basler]'"


@contextlib.contextmanager
def _gige() -> Iterator[None]:
    with gige.own_network(), gige.FakeGigeCamera("contract"):
        yield


CASES = {
    "synthetic": Case(
        options=lambda _: {"width": 160, "height": 120, "hz": 500},
        slow=lambda _: {"width": 160, "height": 120, "hz": 1},
        broken=lambda _: {"fail_open": True},
        lost=lambda _: {"width": 160, "height": 120, "hz": 500, "lost_after_frames": 5}),
    "file": Case(
        options=lambda folder: {"path": write_clip(folder / "clip.mp4", frames=60, hz=100)},
        slow=lambda folder: {"path": write_clip(folder / "slow.mp4", frames=3, hz=1)},
        broken=lambda folder: {"path": folder / "missing.mp4"}),
    "opencv": Case(
        options=lambda _: {"device": V4L2},
        slow=lambda _: {"device": V4L2, "hz": 1},
        broken=lambda folder: {"device": folder / "video9"},
        world=_v4l2),
    "basler": Case(
        options=lambda _: {"AcquisitionFrameRate": 200, "width": 320, "height": 240},
        slow=lambda _: {"AcquisitionFrameRate": 1, "width": 320, "height": 240},
        broken=lambda _: {},
        serial="0815-0000", broken_serial="no-such-camera", skip=_no_pylon),
    "genicam": Case(
        options=lambda _: {"address": "127.0.0.1", "hz": 200, "width": 320, "height": 240},
        slow=lambda _: {"address": "127.0.0.1", "hz": 1, "width": 320, "height": 240},
        broken=lambda _: {},
        broken_serial="no-such-camera", skip=gige.why_not, world=_gige),
    "network": Case(
        options=lambda _: {"url": network_cameras.rtsp_url("h264")},
        slow=lambda _: {"url": network_cameras.rtsp_url("mjpeg-slow")},
        broken=lambda _: {"url": "rtsp://127.0.0.1:1/nobody"},
        skip=network_cameras.no_rtsp),
    "spinnaker": Case(
        options=lambda _: {"width": 320, "height": 240}, slow=lambda _: {"hz": 1},
        broken=lambda _: {}, world=_flir),
    "arena": Case(
        options=lambda _: {"width": 320, "height": 240}, slow=lambda _: {"hz": 1},
        broken=lambda _: {}, world=_lucid),
    "ximea": Case(
        options=lambda _: {"width": 320, "height": 240}, slow=lambda _: {"hz": 1},
        broken=lambda _: {}, world=_ximea),
}


@pytest.fixture(scope="session", autouse=True)
def usb_watch() -> None:
    gige.start_usb_watch()


@pytest.fixture(autouse=True)
def emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "2")


@pytest.fixture(params=backend_names())
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert name in CASES, f"fieldrec/camera/{name}.py is new: say here how to try it"
    return name


@pytest.fixture
def camera(backend: str, tmp_path: Path) -> Iterator[Camera]:
    case = _here(backend)
    with case.world():
        made = make_camera(backend, case.serial, case.options(tmp_path))
        yield made
        made.close()


@pytest.fixture
def slow_camera(backend: str, tmp_path: Path) -> Iterator[Camera]:
    case = _here(backend)
    with case.world():
        made = make_camera(backend, case.serial, case.slow(tmp_path))
        yield made
        made.close()


def _here(backend: str) -> Case:
    case = CASES[backend]
    if reason := case.skip():
        pytest.skip(reason)
    return case


def test_open_says_what_frames_look_like(camera: Camera) -> None:
    spec = camera.open()
    assert len(spec.shape) in (2, 3)
    assert all(extent > 0 for extent in spec.shape)
    assert spec.dtype in ("uint8", "uint16")
    assert spec.pixel_format.isupper()
    assert spec.nominal_hz > 0


def test_grab_fills_the_slot_and_nothing_else(camera: Camera) -> None:
    spec = camera.open()
    ring = np.full((3, *spec.shape), 123, dtype=spec.dtype)
    camera.start()
    camera.grab(ring[1], 10.0)
    assert (ring[1] != 123).any()
    assert (ring[0] == 123).all()
    assert (ring[2] == 123).all()


def test_grab_fills_the_whole_slot(camera: Camera) -> None:
    spec = camera.open()
    camera.start()
    one, two = np.full(spec.shape, 77, spec.dtype), np.full(spec.shape, 178, spec.dtype)
    untouched = np.ones(spec.shape, dtype=bool)
    for _ in range(2):
        camera.grab(one, 10.0)
        camera.grab(two, 10.0)
        untouched &= (one == 77) & (two == 178)
        one[...], two[...] = 77, 178
    assert not untouched.any()


def test_numbers_rise_and_times_do_not_run_back(camera: Camera) -> None:
    into = blank(camera.open())
    camera.start()
    headers = [camera.grab(into, 10.0) for _ in range(20)]
    numbers = [header.number for header in headers]
    times = [header.monotonic_ns for header in headers]
    assert all(later > sooner for sooner, later in itertools.pairwise(numbers))
    assert times == sorted(times)
    assert len(set(times)) > 1


def test_no_frame_in_time_is_a_timeout_and_not_the_end(slow_camera: Camera) -> None:
    into = blank(slow_camera.open())
    slow_camera.start()
    first = slow_camera.grab(into, 10.0)
    with pytest.raises(CameraTimeout):
        slow_camera.grab(into, 0.01)
    assert slow_camera.grab(into, 10.0).number == first.number + 1


def test_stop_and_close_may_be_called_at_any_time(camera: Camera) -> None:
    camera.stop()
    camera.close()
    spec = camera.open()
    camera.stop()
    camera.start()
    camera.grab(blank(spec), 10.0)
    for _ in range(2):
        camera.stop()
    for _ in range(2):
        camera.close()


def test_grab_needs_start_and_start_needs_open(camera: Camera) -> None:
    with pytest.raises(CameraError, match="before open"):
        camera.start()
    into = blank(camera.open())
    with pytest.raises(CameraError, match="before start"):
        camera.grab(into, 0.01)


def test_it_starts_again_after_stop(camera: Camera) -> None:
    into = blank(camera.open())
    for _ in range(2):
        camera.start()
        camera.grab(into, 10.0)
        camera.stop()


def test_it_opens_again_after_close(camera: Camera) -> None:
    spec = camera.open()
    camera.start()
    camera.grab(blank(spec), 10.0)
    camera.close()
    assert camera.open() == spec
    camera.start()
    camera.grab(blank(spec), 10.0)


def test_it_says_nothing_on_the_terminal(camera: Camera, capfd: pytest.CaptureFixture[str]
                                         ) -> None:
    spec = camera.open()
    camera.start()
    camera.grab(blank(spec), 10.0)
    camera.close()
    assert capfd.readouterr() == ("", "")


def test_a_camera_that_is_not_there_is_one_clear_line(
        backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = CASES[backend]
    if backend in ("basler", "genicam") and (reason := case.skip()):
        pytest.skip(reason)
    camera = make_camera(backend, case.broken_serial, case.broken(tmp_path))
    for _ in range(2):
        with pytest.raises(CameraError) as error:
            camera.open()
        assert str(error.value).count("\n") == 0
        assert len(str(error.value)) > 20
    camera.close()
    assert capfd.readouterr() == ("", "")


def test_a_wrong_option_is_one_clear_line(backend: str, tmp_path: Path) -> None:
    case = CASES[backend]
    with pytest.raises(ConfigError, match=r"camera left: .*no_such_option: unknown key") as error:
        make_camera(backend, "left", {**case.options(tmp_path), "no_such_option": 1})
    assert "\n" not in str(error.value)


def test_options_are_documented_models(backend: str) -> None:
    model = options_model(backend)
    assert model.model_config["extra"] == "forbid"
    assert (model.__doc__ or "").strip()


# -- parameters ------------------------------------------------------------------------------------

USUAL = ("AcquisitionFrameRate", "ExposureTime", "Gain")


def numbers_that_can_change(camera: Camera) -> list[Parameter]:
    return [one for one in parameters_of(camera) if one.name in USUAL and one.writable and one.live
            and one.minimum is not None and one.maximum is not None and one.minimum < one.maximum]


def another_value(one: Parameter) -> float:
    """Somewhere else in the range, not far: a number that no camera is set to by chance."""
    assert isinstance(one.value, int | float)
    assert one.minimum is not None
    assert one.maximum is not None
    lower = one.minimum + (one.value - one.minimum) * 0.7
    higher = one.minimum + (one.maximum - one.minimum) * 0.3
    value = lower if one.value > one.minimum else higher
    if isinstance(one.value, int):
        step = one.increment or 1
        value = int(one.minimum + max(1, (value - one.minimum) // step) * step)
    return value


def test_parameters_are_well_formed(camera: Camera) -> None:
    camera.open()
    parameters = parameters_of(camera)
    names = [one.name for one in parameters] + [one.alias for one in parameters if one.alias]
    assert len(set(names)) == len(names)
    for one in parameters:
        assert one.name
        assert allowed(one)
        if one.choices:
            assert str(one.value) in one.choices
        elif isinstance(one.value, int | float) and not isinstance(one.value, bool):
            assert one.minimum is None or one.minimum <= one.value
            assert one.maximum is None or one.value <= one.maximum
        if one.writable:
            assert check_value(one, one.value) == one.value


def test_a_value_within_the_range_is_taken(camera: Camera) -> None:
    camera.open()
    for one in numbers_that_can_change(camera):
        value = another_value(one)
        configure(camera, {one.name: value}, running=False)
        now = next(other for other in parameters_of(camera) if other.name == one.name)
        assert now.value == pytest.approx(value, rel=0.1, abs=one.increment or 1e-3), one.name


def test_a_value_outside_is_one_line_with_the_range(camera: Camera) -> None:
    camera.open()
    before = parameters_of(camera)
    for one in numbers_that_can_change(camera):
        assert one.maximum is not None
        with pytest.raises(UsageError) as caught:
            configure(camera, {one.name: one.maximum * 2 + 1}, running=False)
        assert f"allowed: {allowed(one)}" in str(caught.value)
        assert "\n" not in str(caught.value)
    if isinstance(camera, Configurable):
        with pytest.raises(UsageError, match="no parameter 'NoSuchThing'"):
            configure(camera, {"NoSuchThing": 1}, running=False)
    assert [one.name for one in parameters_of(camera)] == [one.name for one in before]


def test_it_goes_on_while_it_is_configured(camera: Camera) -> None:
    spec = camera.open()
    into = blank(spec)
    camera.start()
    numbers = [camera.grab(into, 10.0).number]
    for one in numbers_that_can_change(camera):
        changed = configure(camera, {one.name: another_value(one)}, running=True)
        assert (changed.shape, changed.dtype, changed.pixel_format) == (
            spec.shape, spec.dtype, spec.pixel_format)
        numbers += [camera.grab(into, 10.0).number for _ in range(2)]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.lost])
def test_a_camera_that_was_unplugged_comes_back(name: str, tmp_path: Path) -> None:
    case = _here(name)
    lost = case.lost
    assert lost is not None
    with case.world():
        camera = make_camera(name, case.serial, lost(tmp_path))
        spec = camera.open()
        into = blank(spec)
        camera.start()
        with pytest.raises(CameraLost) as caught:
            for _ in range(1000):
                camera.grab(into, 10.0)
        assert "\n" not in str(caught.value)
        camera.stop()
        camera.close()
        assert camera.open() == spec
        camera.start()
        camera.grab(into, 10.0)
        camera.close()
