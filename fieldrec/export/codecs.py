"""The codecs that presets can ask for, one row each: encoders, their options, what holds them.

Pure values, no I/O; the encoders' own names are nowhere else. Options that an encoder does not know
are errors where it is opened (opening.py), so a row with a mistake in it cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """What a preset asks of its encoder."""

    crf: int | None
    """Constant quality: lower is better and larger; the scale is the codec's own."""
    speed: str
    """The encoder's speed preset."""
    group: int
    """Frames from key frame to key frame."""
    bits_per_s: int | None = None
    """Mean bitrate, where that is asked for instead of a quality."""
    usual_bits_per_s: int = 1_000_000
    """What this quality costs at most scenes: for encoders that know bitrates only."""
    threads: int = 0
    """0: as many as the encoder wants."""
    in_order: bool = False
    """Whether frames must be stored in the order they are shown in: no B-frames."""
    pixel_format: str = "yuv420p"
    smaller_side: int = 480
    """Pixels: of the picture's width and height."""


Options = Callable[[Quality], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Hardware:
    """An encoder that only some machines have."""

    encoder: str
    """libavcodec's name."""
    options: Options
    pixel_format: str = "nv12"
    """What it takes; pictures are made so by exact reordering."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec."""

    name: str
    """As presets name it."""
    title: str
    """For people and for the sidecar."""
    encoder: str
    """libavcodec's software encoder, in the PyAV wheel."""
    options: Options
    containers: tuple[str, ...]
    """File name extensions of what can hold it, the usual one first."""
    crf_range: tuple[int, int] | None = None
    """Best and worst; None: it is lossless, and neither quality nor bitrate can be asked for."""
    speeds: tuple[str, ...] = ()
    """Slowest last."""
    pixel_formats: tuple[str, ...] = ("yuv420p",)
    """What its encoder takes of what pictures can be, the usual one first."""
    tag: str = ""
    """Code in mp4, where libavformat's choice is not what players take."""
    hardware: tuple[Hardware, ...] = ()
    """In the order in which `encoder: auto` tries them."""
    wants_realtime: bool = False
    """Whether its threads take real-time priority wherever they may."""

    @property
    def is_lossless(self) -> bool:
        """Whether every bit of every pixel comes back."""
        return self.crf_range is None


def together(usual: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """A row's options with a preset's own over them; lists of parameters become one."""
    lists = {name: f"{usual[name]}:{value}" for name, value in own.items()
             if name in usual and name.endswith("-params")}
    return {**usual, **own, **lists}


def _rate(quality: Quality) -> dict[str, str]:
    """Quality or bitrate, as most encoders name them."""
    if quality.bits_per_s is not None:
        return {"b": str(quality.bits_per_s)}
    return {} if quality.crf is None else {"crf": str(quality.crf)}


def _x264(quality: Quality) -> Mapping[str, str]:
    order = {"bf": "0"} if quality.in_order else {}
    profile = _PROFILES.get(quality.pixel_format, "high")
    return {"preset": quality.speed, "profile": profile, "g": str(quality.group), **order,
            **_rate(quality)}


def _x265(quality: Quality) -> Mapping[str, str]:
    pools = f":pools={quality.threads}" if quality.threads else ""
    ahead = ":rc-lookahead=6" if quality.speed in _X265_BOUNDED else ""
    return {"preset": quality.speed, "g": str(quality.group), **_rate(quality),
            "x265-params": f"log-level=error:open-gop=0{ahead}{pools}"}


def _vp9(quality: Quality) -> Mapping[str, str]:
    return {"deadline": "good", "cpu-used": quality.speed, "row-mt": "1", "g": str(quality.group),
            "tile-columns": "1", "b": "0", "lag-in-frames": str(_VP9_LOOKAHEAD), **_rate(quality)}


def _svt_av1(quality: Quality) -> Mapping[str, str]:
    # by itself it would look as far ahead as 32 frames, further than from key frame to key frame
    # of a slow camera: a quarter more memory, and a file larger by 5 to 13 %; its temporal filter
    # takes 30 MB more for 1 % of the file
    level = min(quality.threads or 1, _SVT_LEVELS)
    return {"preset": quality.speed, "g": str(quality.group), **_rate(quality),
            "svtav1-params": f"hierarchical-levels=3:enable-tf=0:lp={level}"}


def _ffv1(quality: Quality) -> Mapping[str, str]:
    wanted = quality.threads if quality.smaller_side >= _FFV1_ROOM else 0
    slices = next((count for count in _FFV1_SLICES if count >= wanted), _FFV1_SLICES[-1])
    return {"level": "3", "g": "1", "slicecrc": "1",
            "slices": str(slices if quality.smaller_side > 1 else 1)}


def _nvenc(quality: Quality) -> Mapping[str, str]:
    rate = {"rc": "vbr", "b": str(quality.bits_per_s)} if quality.bits_per_s is not None else {
        "rc": "vbr", "cq": str(quality.crf), "b": "0"}
    return {"preset": "p5", "g": str(quality.group), **rate, **_bf(quality)}


def _qsv(quality: Quality) -> Mapping[str, str]:
    rate = {"b": str(quality.bits_per_s)} if quality.bits_per_s is not None else {
        "global_quality": str(quality.crf)}
    return {"preset": "medium", "g": str(quality.group), **rate, **_bf(quality)}


def _v4l2m2m(quality: Quality) -> Mapping[str, str]:
    return {"g": str(quality.group), "b": str(quality.bits_per_s or quality.usual_bits_per_s)}


def _bf(quality: Quality) -> dict[str, str]:
    return {"bf": "0"} if quality.in_order else {}


_FFV1_SLICES = (4, 6, 9, 12, 16, 20, 24, 30)
"""Numbers of slices that the encoder takes. Each is a thread's work and has a checksum; more of
them compress a little less."""
_FFV1_ROOM = 32
"""Pixels along the smaller side, for more slices than the fewest."""
_PROFILES = {"yuv420p10le": "high10", "yuv444p": "high444"}
"""Of H.264; High for all others."""
_X26 = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
        "veryslow")

_X265_BOUNDED = ("superfast", "veryfast", "faster")
"""Their lookahead (10 to 15 frames) is shortened, and VP9's (25): the export process would take 20
to 60 MB more at 1920x1080, above 400 MB. Slower speeds need theirs for their B-frames."""
_VP9_LOOKAHEAD = 12
_SVT_LEVELS = 6
"""Of parallel work. The first has a pipeline of threads, of which the busiest does half the work;
it needs 330 MB at 1920x1080, the second 400 MB, and what comes out is the same."""
HARDWARE_PICTURES = "yuv420p"
"""The only pictures that hardware encoders are asked for: all of them take these."""

CODECS: Mapping[str, Codec] = {row.name: row for row in (
    Codec("h264", "H.264", "libx264", _x264, (".mp4", ".mkv", ".avi"), (1, 51), _X26,
          ("yuv420p", "yuv444p", "yuv420p10le"),
          hardware=(Hardware("h264_nvenc", _nvenc), Hardware("h264_qsv", _qsv),
                    Hardware("h264_v4l2m2m", _v4l2m2m, "yuv420p"))),
    Codec("hevc", "HEVC", "libx265", _x265, (".mp4", ".mkv"), (0, 51), _X26,
          ("yuv420p", "yuv444p", "yuv420p10le"), tag="hvc1",
          hardware=(Hardware("hevc_nvenc", _nvenc), Hardware("hevc_qsv", _qsv),
                    Hardware("hevc_v4l2m2m", _v4l2m2m, "yuv420p"))),
    Codec("vp9", "VP9", "libvpx-vp9", _vp9, (".mp4", ".mkv"), (0, 63),
          ("8", "7", "6", "5", "4", "3", "2", "1", "0"), ("yuv420p", "yuv444p"),
          hardware=(Hardware("vp9_qsv", _qsv),)),
    # its speeds 9 and 10 leave blocks of colour off by 90 levels and more
    Codec("av1", "AV1", "libsvtav1", _svt_av1, (".mp4", ".mkv"), (1, 63),
          ("8", "7", "6", "5", "4", "3", "2", "1", "0"), ("yuv420p", "yuv420p10le"),
          hardware=(Hardware("av1_nvenc", _nvenc), Hardware("av1_qsv", _qsv)),
          wants_realtime=True),
    Codec("ffv1", "FFV1 level 3", "ffv1", _ffv1, (".mkv", ".avi"), pixel_formats=("native",)),
)}
REALTIME_ENCODERS = frozenset(row.encoder for row in CODECS.values() if row.wants_realtime)
