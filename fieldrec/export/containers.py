"""The kinds of movie file that we write, one row each. Pure values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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

CONTAINERS = (MP4, MKV)
