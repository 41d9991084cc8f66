"""README.txt at the top of a drive: for whoever finds it in a drawer. Pure.

Plain text without a character that a terminal would act on, lines ended for every system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from fieldrec import __version__
from fieldrec.status import words

FIRST_LINE = "RECORDINGS OF FIELDREC, AND HOW TO READ THEM"
"""By which a README is known to be ours: another one is never replaced."""
NAMES = ("README.txt", "README-fieldrec.txt")
"""Where it goes; the second where somebody else has the first."""
MOVIES = (".mp4", ".mkv", ".avi")
"""How exports end."""
MOST_ROWS = 5000
_COLUMNS = ("recording", "camera", "begin", "end", "frames", "dropped", "lost", "on this drive")


@dataclass(frozen=True, slots=True)
class Row:
    """One recording of which something lies on the drive."""

    name: str
    camera: str
    begin_ns: int | None
    end_ns: int | None
    frames: int | None
    dropped: int
    lost: int
    items: tuple[str, ...]
    """Names of what lies there: its folder, its exports."""


def rows_of(items: Iterable[str], known: Mapping[str, Row]) -> tuple[list[Row], list[str]]:
    """The recordings whose items lie there, oldest first, and items that nobody here knows."""
    lies: dict[str, list[str]] = {}
    others = []
    for item in items:
        name = next((item[:end] for end in range(len(item), 0, -1)
                     if item[:end] in known and item[end:end + 1] in ("", ".", "-")), None)
        if name is None:
            others.append(item)
        else:
            lies.setdefault(name, []).append(item)
    rows = [Row(one.name, one.camera, one.begin_ns, one.end_ns, one.frames, one.dropped, one.lost,
                tuple(sorted(there)))
            for name, there in lies.items() for one in (known[name],)]
    return sorted(rows, key=lambda row: (row.begin_ns or 0, row.name)), others


def text(*, box: str, deployment: str, folder: str, rows: Sequence[Row], others: int,
         report: str, now: datetime, zone: tzinfo) -> bytes:
    """The whole file. `folder`: where everything lies; `report`: name of the report beside it, ""
    for none; `others`: items of other recorders."""
    lines = [FIRST_LINE, "=" * len(FIRST_LINE), "",
             f"Written by fieldrec {__version__} on the box {box}, deployment {deployment},",
             f"on {now.astimezone(zone):%Y-%m-%d %H:%M} ({zone}).",
             f"Everything lies in the folder {folder}. Do not change what is in it: copy it."]
    if report:
        lines.append(f"How the deployment went, with every gap and its cause: {report}")
    lines += ["", "RECORDINGS", "", *_table(rows, zone), ""]
    lines.append("dropped: frames that the camera skipped. lost: frames that the recorder could "
                 "not keep.")
    if others:
        lines.append(f"{words.plural(others, 'item')} in the folder come from other recorders, "
                     "whose fieldrec-report tells of them, or are not known any more.")
    lines += ["", *_HOW.format(folder=folder, example=_example(rows)).splitlines()]
    return "".join(f"{words.safe_text(line, 400).rstrip()}\r\n" for line in lines).encode()


def _table(rows: Sequence[Row], zone: tzinfo) -> list[str]:
    if not rows:
        return ["none of this recorder"]
    shown = rows[-MOST_ROWS:]
    cells = [_COLUMNS, *(
        (row.name, row.camera or "-", _time(row.begin_ns, zone), _time(row.end_ns, zone),
         "-" if row.frames is None else str(row.frames), str(row.dropped), str(row.lost),
         _what(row)) for row in shown)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
             for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    if len(rows) > len(shown):
        lines.append(f"and {len(rows) - len(shown)} older ones")
    return lines


def _what(row: Row) -> str:
    raw = [item for item in row.items if not item.endswith(MOVIES)]
    exports = len(row.items) - len(raw)
    said = (["raw"] if raw else []) + ([words.plural(exports, "export")] if exports else [])
    return ", ".join(said)


def _time(time_ns: int | None, zone: tzinfo) -> str:
    if time_ns is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(time_ns / 1e9, zone):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "?"


def _example(rows: Sequence[Row]) -> str:
    raw = [item for row in rows for item in row.items if item == row.name]
    return raw[0] if raw else "NAME"


_HOW = """TO LOOK AT A RECORDING

Movies (.mp4, .mkv, .avi) play in any player; the .json beside each tells the true time of every
frame. The raw frames of a recording are an imgstore, a folder in the recording's folder, with the
same name. After `pip install imgstore opencv-python-headless`, in Python, from this folder:

    import imgstore                 # or: import fieldrec.store as imgstore
    store = imgstore.new_for_filename("{folder}/{example}/{example}")
    image, (frame_number, frame_time) = store.get_next_image()

fieldrec.store reads the movies in the same way, and raw frames in .tar files; for imgstore unpack
each of those in a copy, where it lies.

TO CHECK THAT EVERYTHING IS AS IT WAS WRITTEN

    fieldrec verify {folder}
    ascmhl-debug verify {folder}/{example}

The first reads every file and says what is damaged, missing or new. The second is a free tool for
the same manifests (ASC MHL, in the folders ascmhl): `pip install ascmhl`; it prints nothing when
all is right.

WHO MADE THIS

fieldrec is an open recorder for video in the field. What it is, how its files are laid out and how
to read them is described in its README and in fieldrec/DESIGN.md, in the package itself.
"""
