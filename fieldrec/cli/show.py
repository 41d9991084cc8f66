"""`fieldrec show`: what a person wants to know of one recording, of any store or exported movie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import FieldrecError

if TYPE_CHECKING:
    from fieldrec.catalogue.report import StoreReport
    from fieldrec.catalogue.statistics import Gap
    from fieldrec.core.model import Recording

Rows = Iterator[tuple[str, str]]

OWN_KEYS = frozenset({"fieldrec", "timezone", "acquisitionframerate", "acquisitionframerateenable"})
"""User metadata that we write ourselves; shown in words elsewhere, whole with --json."""
NOTED_KEYS = ("stop_reason", "source", "times_from", "converted_from")
"""Of our own mapping in the metadata: what is not said elsewhere."""
SHOWN_STEPS = 5
SHOWN_COLUMNS = 12


@click.command("show")
@click.argument("store")
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(where: Where, store: str, as_json: bool) -> None:
    """Show all that is known of STORE: the name of a recording, or the path of any store or of an
    exported movie."""
    from fieldrec.store.movie.movie import is_movie

    path = where.store_path(store)
    if path is not None and is_movie(path):
        _show_movie(path, as_json)
        return
    recording = _recording(where, store, path)
    report, problem = _report(recording)
    if as_json:
        from fieldrec.catalogue.report import as_json as report_as_json
        from fieldrec.cli.tables import print_json
        from fieldrec.status.control_socket import RECORDING

        values = RECORDING.dump_python(recording, mode="json")
        print_json({**values, "store": None if report is None else report_as_json(report),
                    "problem": problem})
        return
    _print([*recording_rows(recording), *(report_rows(report) if report is not None else ()),
            *([("problem", problem)] if problem else ()), *recording_ends(recording)])


def _show_movie(path: Path, as_json: bool) -> None:
    from fieldrec.catalogue.movie_report import movie_report
    from fieldrec.cli import show_movie
    from fieldrec.cli.tables import print_json

    report = movie_report(path)
    if as_json:
        print_json(show_movie.as_json(report))
    else:
        _print([*show_movie.movie_rows(report)])


def _print(rows: list[tuple[str, str]]) -> None:
    from fieldrec.status import words

    width = max(len(key) for key, _ in rows)
    last = ""
    for key, value in rows:
        shown = "" if key == last else key
        echo(f"{words.safe_text(shown):<{width}}  {words.safe_text(value, 1000)}".rstrip())
        last = key


def _recording(where: Where, store: str, path: Path | None) -> Recording:
    """What the catalogue knows, with the exports beside it and the copies at configured places."""
    import dataclasses

    from fieldrec.catalogue.scan import find_in, look_at
    from fieldrec.config.destinations import FolderConfig
    from fieldrec.jobs.copies import find_copies

    known = look_at(path) if path is not None else find_in(where.folders(), store)
    try:
        places = {name: place.path for name, place in where.load().destinations.items()
                  if isinstance(place, FolderConfig)}
    except FieldrecError:  # a store elsewhere is shown whatever is wrong with the configuration
        places = {}
    return dataclasses.replace(known, copies=find_copies(places, known.name, known.uuid))


def _report(recording: Recording) -> tuple[StoreReport | None, str]:
    """What the store itself says, or why it says nothing."""
    from fieldrec.catalogue.report import store_report

    if not recording.has_raw:
        return None, ""
    try:
        return store_report(recording.path), ""
    except (FieldrecError, OSError) as error:
        return None, str(error)


# --- rows -------------------------------------------------------------------------------------

def recording_rows(recording: Recording) -> Rows:
    """What the catalogue knows of it."""
    from fieldrec.cli.tables import state_of
    from fieldrec.status import words

    yield "recording", recording.name
    yield "state", state_of(recording)
    if recording.has_raw:
        yield "raw", f"{words.size(recording.size_bytes)} in {recording.path}"
    if recording.camera_serial:
        yield "camera", recording.camera_serial


def recording_ends(recording: Recording) -> Rows:
    """Exports, copies and the user's metadata."""
    from fieldrec.cli.local_time import local_time, zone_label
    from fieldrec.status import words

    zone = recording.timezone
    for export in recording.exports:
        at_ns = export.verified_at_ns
        yield f"export {export.preset}", (
            f"{export.path.name}, {words.size(export.size_bytes)}, {export.frame_count} frames, "
            + (f"{export.unreadable} unreadable ones left out, " if export.unreadable else "") +
            f"verified {local_time(at_ns, zone, 0)} {zone_label(at_ns, zone)}, "
            f"xxh64 {export.digest}")
    for copy in recording.copies:
        at_ns = copy.verified_at_ns
        yield f"copy {copy.destination}", (
            f"{copy.path}, {words.size(copy.size_bytes)}, verified "
            f"{local_time(at_ns, zone, 0)} {zone_label(at_ns, zone)}")
    if recording.uuid:
        yield "uuid", recording.uuid
    yield "created", f"{recording.created_utc or '-'} UTC"
    yield "timezone", f"{zone or '-'} (clock: {recording.clock_quality.value})"
    yield from user_rows(recording.user_metadata)


def user_rows(user_metadata: Mapping[str, Any]) -> Rows:
    """The user's metadata, and what of our own is not said elsewhere."""
    from fieldrec.store.spec import ours_in

    ours = ours_in(user_metadata)
    for key in NOTED_KEYS:
        if ours.get(key):
            yield key.replace("_", " "), str(ours[key])
    for key, value in user_metadata.items():
        if key not in OWN_KEYS:
            yield f"meta {key}", str(value)


def when_row(report: StoreReport) -> Rows:
    """From the first frame to the last."""
    from fieldrec.cli.local_time import length, local_time, time_of_day, zone_label

    first_ns, last_ns, zone = report.first_time_ns, report.last_time_ns, report.timezone
    if first_ns is not None and last_ns is not None:
        same_day = local_time(first_ns, zone)[:10] == local_time(last_ns, zone)[:10]
        end = time_of_day(last_ns, zone) if same_day else local_time(last_ns, zone)
        yield "when", (f"{local_time(first_ns, zone)} to {end} {zone_label(first_ns, zone)}, "
                       f"{length(report.length_s or 0.0)}")


def report_rows(report: StoreReport) -> Rows:
    """What the store itself tells."""
    from fieldrec.status import words

    yield from when_row(report)
    yield "frames", words.count(report.frame_count) + (
        f", numbers {report.number_first} to {report.number_last}" if report.frame_count else "")
    metadata = report.metadata
    shape = metadata.imgshape
    yield "picture", (
        f"{shape[1]}x{shape[0]} {_pixels(report)}, {metadata.format}"
        + (f", encoding {metadata.encoding}" if metadata.encoding else "")
        + f", {words.plural(report.chunk_count, 'chunk')} of {metadata.chunksize}")
    yield from timing_rows(report)
    yield from _gap_rows(report)
    yield from _beside_rows(report)


def timing_rows(report: StoreReport) -> Rows:
    """Rate, jitter, and steps of the clock."""
    from fieldrec.cli.local_time import local_time

    told = "" if report.told_hz is None else f" (metadata: {report.told_hz:g})"
    found = report.intervals
    if found is None:
        if report.told_hz is not None:
            yield "rate", f"{report.told_hz:g} fps by the metadata"
        return
    yield "rate", f"{found.rate_hz:.4g} fps by the frames' times{told}" + (
        f"; {found.mean_hz:.4g} over all, with pauses and missing frames"
        if abs(found.mean_hz - found.rate_hz) > 0.005 * found.rate_hz else "")
    yield "jitter", (f"between frames {_ms(found.median_s)} (median), {_ms(found.p1_s)} to "
                     f"{_ms(found.p99_s)} (1 % to 99 %), longest {_ms(found.longest_s)} before "
                     f"index {found.longest_index}")
    if found.backwards:
        yield "jitter", f"{found.backwards} times not after the one before"
    for step in report.clock_steps[:SHOWN_STEPS]:
        yield "clock", (f"moved by {step.moved_s:+.3f} s at "
                        f"{local_time(step.recording_ns, report.timezone)} of the recording, which "
                        "went on by the clock at its start")
    if len(report.clock_steps) > SHOWN_STEPS:
        yield "clock", f"… {len(report.clock_steps)} steps in all"


def _gap_rows(report: StoreReport) -> Rows:
    from fieldrec.status import words

    gaps = report.gaps
    if not gaps.missing and not report.lost:
        yield "missing", "none"
    else:
        yield "missing", (f"{words.plural(gaps.missing, 'number')} in "
                          f"{words.plural(gaps.count, 'gap')}: {words.count(gaps.dropped)} dropped "
                          f"(by the camera), {words.count(report.lost)} lost (our ring was full)"
                          + (f", {words.count(gaps.paused)} left out (paused)" if gaps.paused
                             else ""))
    for gap in gaps.largest:
        yield "  gap", _gap(gap, report.timezone)
    if gaps.count > len(gaps.largest):
        yield "  gap", f"… and {words.plural(gaps.count - len(gaps.largest), 'smaller one')}"
    if gaps.repeated:
        yield "numbers", (f"{words.plural(gaps.repeated, 'frame')} whose number is not above the "
                          "one before")


def _gap(gap: Gap, zone: str) -> str:
    from fieldrec.cli.local_time import time_of_day
    from fieldrec.status import words

    kinds = {"lost": gap.lost, "left out (paused)": gap.paused, "dropped": gap.dropped}
    told = [(kind, count) for kind, count in kinds.items() if count]
    who = f" {told[0][0]}" if len(told) == 1 else "".join(f", {count} {kind}"
                                                          for kind, count in told)
    return (f"{words.plural(gap.missing, 'frame')}{who} after {time_of_day(gap.before_ns, zone)}, "
            f"numbers {gap.first_number} to {gap.last_number}, before index {gap.index}, "
            f"{_ms((gap.after_ns - gap.before_ns) / 1e9)}")


def extra_rows(report: StoreReport) -> Rows:
    """How much extra data there is, with what in it."""
    from fieldrec.status import words

    extra = report.extra
    if extra.records:
        rate = "" if extra.rate_hz is None else f", {extra.rate_hz:.3g} per second"
        yield "extra data", (f"{words.plural(extra.records, 'record')}{rate}: "
                             + _columns(extra.columns.items(), extra.records))


def _beside_rows(report: StoreReport) -> Rows:
    yield from extra_rows(report)
    for entry in report.recoveries:
        yield "recovered", "; ".join((
            f"{entry.when_utc} by {entry.program}: {entry.frames_kept} frames kept, "
            f"{entry.frames_damaged} damaged", *entry.notes, *(
                f"{one.frames} frames of {one.chunk} estimated: " + ", ".join(
                    part for part in (one.numbers and f"numbers {one.numbers}",
                                      one.times and f"times {one.times}") if part)
                for one in entry.estimated)))
    for problem in report.problems:
        yield "problem", problem


def _columns(columns: Iterable[tuple[str, int]], records: int) -> str:
    """The names of the columns; how often where it is not in every record."""
    named = [name if count == records else f"{name} ({count})" for name, count in columns]
    more = [f"… {len(named)} in all"] if len(named) > SHOWN_COLUMNS else []
    return ", ".join(named[:SHOWN_COLUMNS] + more) or "nothing in them"


def _pixels(report: StoreReport) -> str:
    from fieldrec.store.spec import spec_at

    return spec_at(report.metadata, report.user_metadata, 0.0).pixel_format


def _ms(seconds: float) -> str:
    """"40.0 ms", "1.52 s", "3 min 20 s"."""
    from fieldrec.status import words

    if abs(seconds) < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else words.duration(seconds)
