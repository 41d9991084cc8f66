"""The kinds of movie file that we write, one row each. Pure values, no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from fieldrec.core.errors import UsageError
from fieldrec.export.codecs import CODECS
from fieldrec.export.presets import NATIVE_RATE, TRUE_TIMES, Preset


@dataclass(frozen=True, slots=True)
class Container:
    """What differs between movie files that hold the same stream."""

    extension: str
    """With the dot."""
    muxer: str
    """libavformat's name of it."""
    ticks_per_second: int
    """Time base of the stream in it: how exactly it can say when a frame is shown."""
    longest_gap_ticks: int
    """The longest distance of two frames that it can say."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of the muxer."""
    claimed_ticks_per_second: int = 0
    """What libavformat is told its ticks are, where it can write no shorter ones; 0: the truth."""
    head_changes: tuple[tuple[bytes, bytes], ...] = ()
    """(bytes, what takes their place) in the head of the finished file."""
    index_in_front: bool = False
    """Whether room for the index is reserved at the front of the file."""
    is_evenly_spaced: bool = False
    """Whether it can only say how many frames a second there are: a tick for each of them."""
    in_order: bool = False
    """Whether it has no word for the time a frame is shown apart from its place in the file."""
    tells_colours: bool = True
    """Whether it has words for range and matrix, for codecs that have none of their own (FFV1)."""


MP4 = Container(".mp4", "mp4", 90_000, 2**31 - 1, {"movie_timescale": "90000"},
                index_in_front=True)
"""11 µs, the customary clock of video; 31 bits of it: 6.6 hours between two frames."""
MKV = Container(
    ".mkv", "matroska", 100_000, 2**53, {"cluster_time_limit": "32000"},
    claimed_ticks_per_second=1_000,
    head_changes=((bytes.fromhex("2ad7b1830f4240"), bytes.fromhex("2ad7b183002710")),))
"""libavformat writes Matroska in milliseconds, whatever it is asked for. It is given ticks of 10 µs
for milliseconds, and the TimestampScale in the head (1,000,000 ns) is then put right (10,000 ns).
Within a cluster 16 bits say the time: a third of a second."""

AVI = Container(".avi", "avi", 1, 1, is_evenly_spaced=True, in_order=True,
                tells_colours=False)
"""A frame has no time in it, just a place: the n-th is shown n periods after the first. Its ticks
are of the rate that it gets (:func:`container_for`). Grows beyond 2 GB as OpenDML."""

CONTAINERS = (MP4, MKV, AVI)


def container_for(preset: Preset, extension: str, nominal_hz: float) -> Container:
    """What holds a movie of that preset under that extension, for a camera's nominal rate.

    UsageError, saying what would do, where it cannot hold the codec or keep the times.
    """
    codec = CODECS[preset.codec]
    found = next((row for row in CONTAINERS if row.extension == extension.lower()), None)
    if found is None or found.extension not in codec.containers:
        raise UsageError(f"preset {preset.name}: {codec.title} cannot be put into a "
                         f"{extension or 'file without extension'}: use "
                         f"{' or '.join(codec.containers)}")
    if not found.is_evenly_spaced:
        return found
    if preset.rate == TRUE_TIMES:
        others = " or ".join(one for one in codec.containers if one != found.extension)
        raise UsageError(f"preset {preset.name}: {found.extension} cannot say when a frame was "
                         f"taken: use {others}, or a constant rate (rate: native, or in Hz)")
    hz = nominal_hz if preset.rate == NATIVE_RATE else float(preset.rate)
    if hz < 1 or hz != round(hz):
        raise UsageError(f"preset {preset.name}: {found.extension} takes whole frames per second, "
                         f"not {hz:g}: set `rate` to a whole number of Hz")
    return dataclasses.replace(found, ticks_per_second=round(hz), longest_gap_ticks=1)
