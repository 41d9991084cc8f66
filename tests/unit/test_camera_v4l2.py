"""V4L2's structures against the kernel's own header, and a device's answers."""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldrec.camera import v4l2_abi as abi
from fieldrec.camera.v4l2 import Device, Sizes, SystemKernel, fourcc, fourcc_number
from fieldrec.camera.v4l2_wish import Wish, choose, size_parameters
from fieldrec.core.errors import CameraError, CameraLost
from tests.fakes.v4l2_device import RecordedDevice

HEADER = Path("/usr/include/linux/videodev2.h")
STRUCTURES = {
    "v4l2_capability": abi.Capability, "v4l2_fmtdesc": abi.FmtDesc,
    "v4l2_frmsizeenum": abi.FrmSizeEnum, "v4l2_frmivalenum": abi.FrmIvalEnum,
    "v4l2_pix_format": abi.PixFormat, "v4l2_format": abi.Format,
    "v4l2_streamparm": abi.StreamParm, "v4l2_requestbuffers": abi.RequestBuffers,
    "v4l2_buffer": abi.Buffer, "v4l2_query_ext_ctrl": abi.QueryExtCtrl,
    "v4l2_querymenu": abi.QueryMenu, "v4l2_ext_control": abi.ExtControl,
    "v4l2_ext_controls": abi.ExtControls, "v4l2_event_subscription": abi.EventSubscription}
OFFSETS = [
    ("v4l2_capability", "device_caps", "device_caps"), ("v4l2_fmtdesc", "flags", "flags"),
    ("v4l2_fmtdesc", "pixelformat", "pixelformat"), ("v4l2_frmsizeenum", "discrete", "size"),
    ("v4l2_frmivalenum", "discrete", "shortest"), ("v4l2_format", "fmt", "fmt"),
    ("v4l2_pix_format", "bytesperline", "bytesperline"),
    ("v4l2_streamparm", "parm.capture.timeperframe", "timeperframe"),
    ("v4l2_buffer", "timestamp", "tv_sec"), ("v4l2_buffer", "sequence", "sequence"),
    ("v4l2_buffer", "m", "m"), ("v4l2_buffer", "length", "length"),
    ("v4l2_query_ext_ctrl", "minimum", "minimum"), ("v4l2_query_ext_ctrl", "flags", "flags"),
    ("v4l2_query_ext_ctrl", "nr_of_dims", "nr_of_dims"), ("v4l2_querymenu", "name", "name"),
    ("v4l2_ext_control", "value64", "value64"), ("v4l2_ext_controls", "controls", "controls"),
    ("v4l2_ext_controls", "count", "count")]
REQUESTS = [name for name in dir(abi) if name.isupper() and name.partition("_")[0] in (
    "QUERYCAP", "ENUM", "G", "S", "REQBUFS", "QUERYBUF", "QBUF", "DQBUF", "STREAMON", "STREAMOFF",
    "QUERYMENU", "SUBSCRIBE", "QUERY")]
CONSTANTS = {
    "V4L2_BUF_TYPE_VIDEO_CAPTURE": abi.CAPTURE, "V4L2_MEMORY_MMAP": abi.MEMORY_MMAP,
    "V4L2_CAP_VIDEO_CAPTURE": abi.CAP_VIDEO_CAPTURE, "V4L2_CAP_STREAMING": abi.CAP_STREAMING,
    "V4L2_CAP_VIDEO_CAPTURE_MPLANE": abi.CAP_VIDEO_CAPTURE_MPLANE,
    "V4L2_CAP_DEVICE_CAPS": abi.CAP_DEVICE_CAPS, "V4L2_CAP_TIMEPERFRAME": abi.CAP_TIMEPERFRAME,
    "V4L2_FMT_FLAG_EMULATED": abi.FMT_EMULATED, "V4L2_FRMSIZE_TYPE_DISCRETE": abi.DISCRETE,
    "V4L2_FRMIVAL_TYPE_DISCRETE": abi.DISCRETE,
    "V4L2_EVENT_SOURCE_CHANGE": abi.EVENT_SOURCE_CHANGE}


@pytest.mark.skipif(shutil.which("cc") is None or not HEADER.exists(),
                    reason="no C compiler or no kernel headers: structures NOT checked")
def test_structures_and_numbers_are_the_kernels(tmp_path: Path) -> None:
    lines = [f'printf("%zu\\n", sizeof(struct {name}));' for name in STRUCTURES]
    lines += [f'printf("%zu\\n", __builtin_offsetof(struct {name}, {field}));'
              for name, field, _ in OFFSETS]
    lines += [f'printf("%lu\\n", (unsigned long)VIDIOC_{name});' for name in REQUESTS]
    lines += [f'printf("%lu\\n", (unsigned long){name});' for name in CONSTANTS]
    source = tmp_path / "sizes.c"
    source.write_text("#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {\n"
                      + "\n".join(lines) + "\nreturn 0; }\n")
    subprocess.run(["cc", "-o", tmp_path / "sizes", source], check=True)
    said = subprocess.run([tmp_path / "sizes"], check=True, capture_output=True, text=True)
    ours = [ctypes.sizeof(structure) for structure in STRUCTURES.values()]
    ours += [getattr(STRUCTURES[name], field).offset for name, _, field in OFFSETS]
    ours += [getattr(abi, name) for name in REQUESTS]
    ours += list(CONSTANTS.values())
    assert len(REQUESTS) == 19
    assert [int(line) for line in said.stdout.split()] == ours


def test_four_characters() -> None:
    assert fourcc_number("YUYV") == 0x56595559
    assert fourcc(0x56595559) == "YUYV"
    assert fourcc(fourcc_number("Y16 ") | 1 << 31) == "Y16 "


@pytest.fixture
def device() -> Iterator[Device]:
    opened = Device("/dev/video0", RecordedDevice())
    yield opened
    opened.close()


def test_formats_with_their_sizes_and_rates(device: Device) -> None:
    formats = device.formats()
    assert list(map(str, formats)) == ["YUYV 640x480, 320x240, 1280x720",
                                       "MJPG 640x480, 320x240, 1280x720"]
    assert device.rates("YUYV", 640, 480) == (30.0, 15.0, 1.0)
    assert device.card == "Fake Camera"
    assert device.set_rate(14) == 15.0


def test_ranges_of_sizes() -> None:
    sizes = Sizes(32, 1024, 16, 2, 768, 2)
    assert sizes.has(48, 4)
    assert not sizes.has(40, 4)
    assert not sizes.has(1040, 4)
    assert str(sizes) == "32x2 to 1024x768"


def wish(**wanted: object) -> Wish:
    return Wish(**{"pixel_format": "MONO8", "fourcc": None, "width": None, "height": None,
                   "hz": None, **wanted})  # type: ignore[arg-type]


@pytest.mark.parametrize(("wanted", "expected"), [
    (wish(), ("YUYV", 640, 480)),
    (wish(width=1280), ("MJPG", 1280, 720)),  # YUYV is too slow at that size
    (wish(width=1280, hz=5), ("YUYV", 1280, 720)),
    (wish(fourcc="MJPG"), ("MJPG", 640, 480)),
    (wish(height=240), ("YUYV", 320, 240)),
])
def test_the_cheapest_format_that_is_fast_enough(
        wanted: Wish, expected: tuple[str, int, int]) -> None:
    camera = Device("/dev/video0", RecordedDevice(slow={("YUYV", 1280): (10.0, 5.0)}))
    layout = choose(camera, camera.formats(), wanted)
    camera.close()
    assert (layout.fourcc, layout.width, layout.height) == expected


@pytest.mark.parametrize(("wanted", "said"), [
    (wish(width=999), "cannot give pictures of 999 x any height; the driver offers: YUYV 640x480"),
    (wish(width=640, height=720), "cannot give pictures of 640 x 720"),
    (wish(pixel_format="MONO16"), "cannot give MONO16; the driver offers: YUYV .*; as "
                                  "pixel_format: MONO8, BGR8"),
    (wish(fourcc="H264"), "has no format H264; the driver offers: YUYV"),
    (wish(fourcc="MJPG", pixel_format="MONO16"),
     "MJPG cannot become MONO16; it can become: MONO8, BGR8"),
])
def test_what_it_cannot_give_is_answered_with_what_it_can(
        wanted: Wish, said: str, device: Device) -> None:
    with pytest.raises(CameraError, match=f"^/dev/video0: {said}"):
        choose(device, device.formats(), wanted)


def test_a_size_in_a_range_is_rounded_to_its_steps() -> None:
    class Stepwise(RecordedDevice):
        def enum_framesizes(self, answer: abi.FrmSizeEnum) -> None:
            answer.type = 3
            answer.size = abi.Stepwise(32, 1024, 16, 2, 768, 2)

    from tests.fakes import v4l2_device

    kernel = Stepwise(formats={"GREY": ((640, 480),)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(v4l2_device._ANSWERS, abi.ENUM_FRAMESIZES, Stepwise.enum_framesizes)
        camera = Device("/dev/video0", kernel)
        formats = camera.formats()
        parameters = {parameter.name: parameter for parameter in size_parameters(
            camera, formats, camera.layout(), "MONO8", 30.0)}
        camera.close()
    assert formats[0].sizes == (Sizes(32, 1024, 16, 2, 768, 2),)
    width = parameters["Width"]
    assert (width.value, width.minimum, width.maximum, width.increment) == (640, 32, 1024, 16)
    assert not width.live


@pytest.mark.parametrize(("number", "kind", "said"), [
    (errno.ENODEV, CameraLost, "the camera was unplugged or lost power"),
    (errno.EBUSY, CameraError, "is used by another program; end that first"),
    (errno.ENOSPC, CameraError, "too little bandwidth on its USB bus .* use MJPG"),
    (errno.EPROTO, CameraError, "YUYV 640x480 cannot be set: Protocol error"),
])
def test_the_kernels_errors_say_what_to_do(
        number: int, kind: type[CameraError], said: str) -> None:
    kernel = RecordedDevice()
    camera = Device("/dev/video0", kernel)
    kernel.refuse[abi.S_FMT] = number
    with pytest.raises(kind, match=said):
        camera.set_layout("YUYV", 640, 480)
    camera.close()


@pytest.mark.parametrize(("capabilities", "said"), [
    (abi.CAP_STREAMING | 0x00800000, "Fake Camera: gives no pictures .*metadata.*other one"),
    (abi.CAP_STREAMING | abi.CAP_VIDEO_CAPTURE_MPLANE, "planes in separate buffers"),
])
def test_a_device_that_is_not_for_us(capabilities: int, said: str) -> None:
    kernel = RecordedDevice(capabilities=capabilities)
    with pytest.raises(CameraError, match=said):
        Device("/dev/video0", kernel)
    assert not kernel.descriptors


@pytest.mark.parametrize(("path", "said"), [
    ("/etc/passwd", "not a camera device (for a video file use the backend 'file')"),
    ("/dev", "not a camera device (for a video file use the backend 'file')"),
    ("/dev/null", "not a camera device (for a video file use the backend 'file')"),
    ("/dev/no-such-camera", "No such file or directory"),
])
def test_files_that_are_no_camera(path: str, said: str) -> None:
    with pytest.raises(CameraError) as error:
        Device(path, SystemKernel())
    assert str(error.value) == f"{path}: {said}"
