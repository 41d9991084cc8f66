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
    index_in_front: bool = False
    """Whether room for the index is reserved at the front of the file."""


MP4 = Container(".mp4", "mp4", 90_000, 2**31 - 1, {"movie_timescale": "90000"},
                index_in_front=True)
"""11 µs, the customary clock of video; 31 bits of it: 6.6 hours between two frames."""
MKV = Container(".mkv", "matroska", 1_000, 2**53)
"""libavformat writes Matroska in milliseconds, whatever it is asked for."""

CONTAINERS = (MP4, MKV)
