"""Opening encoders: every option in force or an error that names it; hardware and why not; AV1."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from fieldrec.core.errors import EncoderFailed
from fieldrec.export import hardware, opening
from fieldrec.export.codecs import CODECS, Hardware
from fieldrec.export.containers import AVI, MKV, MP4, Container
from fieldrec.export.encoding import MovieFormat
from fieldrec.export.opening import chosen_encoder, encoder_name, open_encoder
from fieldrec.export.presets import PRESETS, Preset, preset

HIGH = preset("High")
TICK = Fraction(1, 90_000)
SAFE_PRESETS = [row for row in PRESETS if not CODECS[row.codec].wants_realtime]
"""Of encoders that take no real-time priority: opened in this process."""


class Grey:
    """Of pictures without a matrix."""

    full_range = False
    matrix_code, primaries_code, transfer_code = 6, 6, 6


def form(row: Preset, container: Container = MP4, *, width: int = 64, height: int = 48
         ) -> MovieFormat:
    native = "gray" if CODECS[row.codec].is_lossless else "yuv420p"
    return MovieFormat(row, width, height, native, Grey(), 25.0, {}, container)  # type: ignore[arg-type]


def encoded(context: av.VideoCodecContext, count: int = 5) -> bytes:
    """All packets of some pictures."""
    stream = b""
    for number in range(count):
        picture = av.VideoFrame(context.width, context.height, context.pix_fmt or "")
        for plane in picture.planes:
            plane.update(bytes([16 + number]) * plane.buffer_size)
        picture.pts, picture.time_base = number * 3600, TICK
        stream += b"".join(map(bytes, context.encode(picture)))
    return stream + b"".join(map(bytes, context.encode(None)))


@pytest.mark.parametrize("row", SAFE_PRESETS, ids=lambda row: row.name)
def test_every_preset_opens_with_all_its_options_in_force(row: Preset) -> None:
    container = MKV if row.container == ".mkv" else MP4
    assert encoded(open_encoder(form(row, container), 25.0, TICK))


@pytest.mark.parametrize(("codec", "options", "named"), [
    ("h264", {"prest": "fast"}, "prest"),
    ("h264", {"x264-params": "no-such=1:ref=2"}, "no-such"),
    ("h264", {"x264opts": "nosuch=1"}, "nosuch"),
    ("h264", {"cpu-used": "5"}, "cpu-used"),
    ("hevc", {"tunes": "grain"}, "tunes"),
    ("hevc", {"x265-params": "log-level=error:nosuch=3"}, "nosuch"),
    ("vp9", {"deadlin": "good"}, "deadlin"),
    ("ffv1", {"slicecrcs": "1"}, "slicecrcs"),
    ("ffv1", {"crf": "3"}, "crf"),
])
def test_an_option_that_the_encoder_does_not_take_is_named(
        codec: str, options: dict[str, str], named: str) -> None:
    row = next(row for row in PRESETS if row.codec == codec)
    with pytest.raises(EncoderFailed, match=rf"{CODECS[codec].encoder}.*\b{named}\b"):
        open_encoder(form(dataclasses.replace(row, options=options), MKV), 25.0, TICK)


@pytest.mark.parametrize(("codec", "options", "said"), [
    ("h264", {"tune": "graain"}, "libx264: Error setting preset/tune veryfast/graain"),
    ("vp9", {"cpu-used": "77"}, "libvpx-vp9: Value 77.* out of range"),
    ("ffv1", {"slices": "5"}, "ffv1: Unsupported number 5 of slices"),
    ("hevc", {"rc-lookahead": "-"}, "libx265"),
])
def test_a_value_that_it_does_not_take_is_told_in_its_own_words(
        codec: str, options: dict[str, str], said: str) -> None:
    row = next(row for row in PRESETS if row.codec == codec)
    with pytest.raises(EncoderFailed, match=said):
        open_encoder(form(dataclasses.replace(row, options=options), MKV), 25.0, TICK)


def test_x264_works_at_whole_frames_and_has_the_bitrate_threads_and_order_asked_for() -> None:
    whole = dataclasses.replace(HIGH, threads=2)
    stream = encoded(open_encoder(form(whole, width=320, height=240), 25.0, TICK))
    assert b"threads=2 " in stream
    assert b"sliced_threads=0" in stream
    assert b"rc=crf" in stream
    slow = dataclasses.replace(HIGH, crf=None, bitrate_bits_per_s=300_000, threads=1,
                               keyframe_s=4.0)
    stream = encoded(open_encoder(form(slow, dataclasses.replace(AVI, ticks_per_second=25)), 25.0,
                                  TICK))
    for asked in (b"threads=1 ", b"bitrate=300 ", b"bframes=0", b"keyint=100 "):
        assert asked in stream


def test_parameters_of_ones_own_come_to_those_of_the_row() -> None:
    row = dataclasses.replace(preset("HEVC"), options={"x265-params": "no-sao=1:min-keyint=3"})
    context = open_encoder(form(row), 25.0, TICK)
    stream = (context.extradata or b"") + encoded(context)
    assert b"no-open-gop" in stream  # the row's
    assert b"no-sao" in stream


@pytest.mark.parametrize(("codec", "pixel_format"), [
    (codec.name, pixel_format) for codec in CODECS.values() if not codec.wants_realtime
    for pixel_format in codec.pixel_formats if pixel_format != "native"])
def test_every_pixel_format_of_a_row_is_one_that_its_encoder_takes(codec: str, pixel_format: str
                                                                   ) -> None:
    row = next(row for row in PRESETS if row.codec == codec)
    shape = dataclasses.replace(form(row), pixel_format=pixel_format)
    assert encoded(open_encoder(shape, 25.0, TICK))


@pytest.mark.parametrize("codec", [row.name for row in CODECS.values() if row.crf_range
                                   and not row.wants_realtime])
def test_the_ends_of_a_rows_ranges_are_taken(codec: str) -> None:
    row = next(row for row in PRESETS if row.codec == codec)
    best_and_worst, speeds = CODECS[codec].crf_range or (0, 0), CODECS[codec].speeds
    for crf, speed in zip(best_and_worst, (speeds[0], speeds[-1]), strict=True):
        assert encoded(open_encoder(form(dataclasses.replace(row, crf=crf, speed=speed)), 25.0,
                                    TICK))


@pytest.mark.parametrize("size", [(2, 2), (16, 6), (2048, 1), (1, 1)])
def test_lossless_takes_the_smallest_pictures(size: tuple[int, int]) -> None:
    row = dataclasses.replace(preset("Lossless"), threads=12)
    assert encoded(open_encoder(form(row, MKV, width=size[0], height=size[1]), 25.0, TICK))


def test_full_range_is_tagged() -> None:
    full = Grey()
    full.full_range = True
    shape = dataclasses.replace(form(HIGH), colours=full)  # type: ignore[arg-type]
    assert open_encoder(shape, 25.0, TICK).color_range == 2


# --- hardware -------------------------------------------------------------------------------------


def with_hardware(monkeypatch: pytest.MonkeyPatch, *rows: Hardware) -> None:
    codec = dataclasses.replace(CODECS["h264"], hardware=rows)
    monkeypatch.setattr(opening, "CODECS", {**CODECS, "h264": codec})


def no_options(_: object) -> dict[str, str]:
    return {}


def test_without_hardware_the_software_encoder_is_taken_and_the_reasons_are_told() -> None:
    auto = dataclasses.replace(HIGH, encoder="auto")
    chosen, reason = chosen_encoder(auto, form(auto))
    assert chosen == "libx264"
    assert [part.split(":")[0] for part in reason.split("; ")] == [
        "h264_nvenc", "h264_qsv", "h264_v4l2m2m"]
    assert encoder_name(auto, chosen).startswith(
        f"libx264 veryfast crf 18 ({reason}) by PyAV {av.__version__}, libavcodec ")
    assert encoder_name(HIGH, "libx264").startswith("libx264 veryfast crf 18 by PyAV ")


def test_hardware_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with_hardware(monkeypatch, Hardware("h264_nosuch", no_options),
                  Hardware("libx264rgb", no_options, "bgr0"))
    auto = dataclasses.replace(HIGH, encoder="auto")
    assert chosen_encoder(auto, form(auto)) == ("libx264rgb", "it works on this machine")
    context = open_encoder(form(auto), 25.0, TICK)
    assert (context.name, context.pix_fmt) == ("libx264rgb", "bgr0")
    assert encoded(context)


def test_the_only_encoder_wanted_must_work() -> None:
    wanted = dataclasses.replace(HIGH, encoder="h264_v4l2m2m")
    with pytest.raises(EncoderFailed, match=r"^h264_v4l2m2m: \w+"):
        chosen_encoder(wanted, form(wanted))
    misspelt = dataclasses.replace(HIGH, encoder="h264_v4l2")
    with pytest.raises(EncoderFailed, match="'h264_v4l2' is none of software, auto, libx264, "):
        chosen_encoder(misspelt, form(misspelt))
    named = dataclasses.replace(HIGH, encoder="libx264")
    assert chosen_encoder(named, form(named))[0] == "libx264"


def test_options_can_be_tried_before_anything_is_encoded() -> None:
    assert hardware.objection(dataclasses.replace(HIGH, options={"tune": "grain"})) == ""
    assert hardware.objection(dataclasses.replace(HIGH, options={"tuen": "grain"})).startswith(
        "libx264 does not take tuen: correct")


@pytest.mark.parametrize(("code", "reason"), [
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed by signal 11"),
    ("import signal; signal.pause()", "no answer within 0.5 s"),
    ("print('{}')", "ended with code 0 and no answer"),
    ("raise SystemExit(3)", "ended with code 3 and no answer"),
])
def test_a_trial_that_crashes_or_hangs_is_told(code: str, reason: str) -> None:
    assert hardware.in_a_process([sys.executable, "-c", code], 0.5) == hardware.Trial(False, reason)


# --- AV1 ------------------------------------------------------------------------------------------

ENCODE_AV1 = """
import json, os, sys
if sys.argv[1] == "idle":  # before anything else that starts threads is loaded
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
from fieldrec.export.presets import preset
from tests.unit.test_export_opening import TICK, encoded, form, open_encoder, policies
context = open_encoder(form(preset("AV1")), 25.0, TICK)
opened = policies()
size = len(encoded(context))
print(json.dumps([size, opened, policies()]))
"""


def policies() -> list[int]:
    """Scheduling policy of every thread of this process."""
    stats = [path.read_text() for path in Path("/proc/self/task").glob("*/stat")]
    return [int(stat.rpartition(")")[2].split()[38]) for stat in stats]


@pytest.mark.parametrize(("own", "policy"), [("other", os.SCHED_OTHER), ("idle", os.SCHED_IDLE)])
def test_no_thread_of_the_av1_encoder_has_realtime_priority(own: str, policy: int) -> None:
    """In a process of its own, which a time limit ends for sure."""
    done = subprocess.run(
        ["timeout", "-s", "KILL", "20", sys.executable, "-c", ENCODE_AV1, own],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    size, opened, later = json.loads(done.stdout.splitlines()[-1])
    assert size > 50
    assert len(opened) > 5  # it has its threads by then, and starts none later
    assert len(later) == len(opened)
    assert set(later) | set(opened) == {policy}


def test_the_capability_is_back_afterwards() -> None:
    from fieldrec.export.realtime import without_realtime

    def effective() -> int:
        status = Path("/proc/thread-self/status").read_text()
        return int(status.split("CapEff:\t")[1].split()[0], 16)

    before = effective()
    with without_realtime():
        assert not effective() & (1 << 23)
    assert effective() == before
