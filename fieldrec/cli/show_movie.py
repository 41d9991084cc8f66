"""`fieldrec show FILE.mp4`: an exported movie in words, by its sidecar or by what it carries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldrec.catalogue.movie_report import MovieReport

Rows = Iterator[tuple[str, str]]

SHOWN = 5
"""Gaps and unreadable frames."""
_WHO = {"dropped": "dropped by the camera", "lost": "lost (our ring was full)",
        "paused": "left out while paused"}


def movie_rows(report: MovieReport) -> Rows:
    """All rows."""
    from fieldrec.cli.show import extra_rows, timing_rows, user_rows, when_row

    yield from _file_rows(report)
    yield from when_row(report.store)
    yield from _frame_rows(report)
    yield from timing_rows(report.store)
    yield from _gap_rows(report)
    yield from _unreadable_rows(report)
    yield from _encoding_rows(report)
    yield from _quality_rows(report)
    yield from extra_rows(report.store)
    yield from user_rows(report.store.user_metadata)
    for problem in report.problems:
        yield "problem", problem


def as_json(report: MovieReport) -> dict[str, Any]:
    """The same for programs."""
    from fieldrec.catalogue.report import as_json as report_as_json

    return {"movie": str(report.path), "size_bytes": report.size_bytes,
            "origin": str(report.origin), **report.told, "missing": report.missing,
            "gaps": report.gaps, "unreadable": list(report.unreadable),
            "store": report_as_json(report.store), "problems": list(report.problems)}


def _file_rows(report: MovieReport) -> Rows:
    from fieldrec.status import words

    told = report.told
    recording = _mapping(told.get("recording"))
    kind = "export" if report.is_export else "movie"
    yield kind, f"{report.path.name}, {words.size(report.size_bytes)}"
    place = _mapping(told.get("slice"))
    if place:
        yield "slice", f"{place.get('number')} of {place.get('of')}"
    yield "told by", ("its sidecar" if report.origin != report.path else
                      "the movie itself: it was written before it was verified")
    yield "recording", str(recording.get("name", ""))
    if recording.get("camera_serial"):
        yield "camera", str(recording["camera_serial"])
    yield "uuid", str(recording.get("uuid", ""))
    yield "created", f"{recording.get('created_utc') or '-'} UTC"
    yield "timezone", (f"{recording.get('timezone') or '-'} (clock: "
                       f"{recording.get('clock_quality') or 'none'})")


def _frame_rows(report: MovieReport) -> Rows:
    from fieldrec.status import words

    told, store = report.told, report.store
    part = _mapping(told.get("part"))
    numbers = f", numbers {store.number_first} to {store.number_last}" if store.frame_count else ""
    first, end, of = (part.get(key) for key in ("first_index", "end_index", "of"))
    which = ""
    if isinstance(first, int) and isinstance(end, int) and (first, end) != (0, of):
        which = f", index {first} to {end - 1} of the {of} of the recording"
    yield "frames", words.count(store.frame_count) + numbers + which
    pictures, shape = _mapping(told.get("pictures")), store.metadata.imgshape
    coded = (f", as {pictures.get('coded_as')} {pictures.get('width')}x{pictures.get('height')}"
             if pictures else "")
    yield "picture", (f"{shape[1]}x{shape[0]} {pictures.get('pixel_format', '')}".rstrip() + coded
                      + (", every bit as recorded" if pictures.get("exact") else ""))


def _gap_rows(report: MovieReport) -> Rows:
    from fieldrec.cli.local_time import time_of_day
    from fieldrec.status import words

    missing = report.missing
    if not any(missing.values()):
        yield "missing", "none"
        return
    yield "missing", ", ".join(f"{words.count(missing[kind])} {who}" for kind, who in _WHO.items()
                               if missing[kind] or kind != "paused")
    found = [(gap, kind) for kind, gaps in (report.gaps or {}).items() for gap in gaps]
    found.sort(key=lambda pair: -pair[0]["count"])
    for gap, kind in found[:SHOWN]:
        at_ns = gap.get("before_ns", gap.get("first_time_ns", 0))
        yield "  gap", (f"{words.plural(gap['count'], 'frame')} {kind} from number "
                        f"{gap['first_number']} on, "
                        f"{'after' if kind == 'dropped' else 'from'} "
                        f"{time_of_day(at_ns, report.store.timezone)}")
    if len(found) > SHOWN:
        yield "  gap", f"… and {words.plural(len(found) - SHOWN, 'smaller one')}"


def _unreadable_rows(report: MovieReport) -> Rows:
    from fieldrec.status import words

    found = report.unreadable
    if not found:
        return
    yield "unreadable", (f"{words.plural(len(found), 'frame')} of the raw recording could not be "
                         "read, and so are not in this movie")
    for one in found[:SHOWN]:
        yield "unreadable", (f"  index {one['index']}, number {one.get('number')}: "
                             f"{one['reason']}")
    if len(found) > SHOWN:
        yield "unreadable", f"  … and {len(found) - SHOWN} more"


def _encoding_rows(report: MovieReport) -> Rows:
    told = report.told
    request = _mapping(told.get("request"))
    asked = [f"{name} {_plain(value)}" for key, name in _ASKED.items()
             if (value := request.get(key)) not in (None, "", 0, {}, "software", "true")]
    yield "preset", f"{told.get('preset', '')}" + (f" ({', '.join(asked)})" if asked else "")
    yield "codec", str(told.get("codec", ""))
    yield "encoder", str(told.get("encoder", ""))
    versions = _mapping(told.get("versions"))
    if versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    for name, rule in _mapping(told.get("rules")).items():
        yield "rules", f"{name.replace('_', ' ')}: {rule}"


_ASKED = {
    "crf": "crf", "bitrate_bits_per_s": "bits per second", "speed": "speed",
    "keyframe_s": "seconds between key frames", "threads": "threads", "encoder": "encoder",
    "pixel_format": "pixels", "options": "options", "rate": "frames per second",
    "slice_s": "seconds a slice", "slice_bytes": "bytes a slice", "geometry": "shape"}
"""What of a preset's request is shown, unless it is as usual; --json has all."""


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items()
                         if item not in (None, 0, 1.0, "none"))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quality_rows(report: MovieReport) -> Rows:
    from fieldrec.cli.local_time import local_time, zone_label

    told = report.told
    at_ns = told.get("verified_at_ns")
    if not isinstance(at_ns, int) or not at_ns:
        yield "verified", "not said here: only the sidecar of a verified movie does"
        return
    zone = report.store.timezone
    yield "verified", (f"{local_time(at_ns, zone, 0)} {zone_label(at_ns, zone)}, xxh64 "
                       f"{_mapping(told.get('file')).get('xxh64', '-')}")
    quality = _mapping(told.get("quality"))
    if quality.get("exact") is True:
        yield "quality", "every pixel of every frame is what was recorded"
        return
    shown = [f"{name} {least:g}{unit} at least, {mean:g}{unit} in the mean"
             for name, key, unit in (("PSNR", "psnr_{}_db", " dB"), ("SSIM", "ssim_{}", ""))
             if (least := _number(quality.get(key.format("min"))))
             and (mean := _number(quality.get(key.format("mean"))))]
    if shown and _number(quality.get("compared")):
        shown[-1] += f" (of {quality['compared']} frames)"
    yield "quality", "; ".join(shown) or "-"


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0.0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
