"""`fieldrec report` on logbooks as they come: with a place, a clock that was wrong, two disks."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldrec.cli.report import deployment_command, report_command
from fieldrec.core.errors import StoreError, UsageError
from fieldrec.core.notes import Kind
from fieldrec.logbook.book import Logbook
from tests.unit.test_logbook_book import StoodClock

S = 1_000_000_000
HOUR = 3600 * S
CONFIG = """
system: {timezone: Europe/Vienna}
schedule: {location: {latitude: 48.16, longitude: 16.51}}
"""


class Written:
    """A logbook written on a clock by hand."""

    def __init__(self, folder: Path, clock: StoodClock | None = None) -> None:
        self.clock = clock or StoodClock()
        self.book = Logbook(folder, box="box", deployment="pond", clock=self.clock,
                            max_bytes=1 << 20, boot_id="boot-1")
        self.book.open()

    def add(self, kind: str, after_s: float = 0, **facts: Any) -> None:
        self.clock.epoch += round(after_s * S)
        self.clock.boot += round(after_s * S)
        self.book.note(kind, kind, **facts)

    def recording(self, name: str, seconds: float, reason: str = "stopped") -> None:
        self.add(Kind.RECORDING_BEGAN, camera="top", name=name, began_ns=self.clock.epoch)
        self.add(Kind.RECORDING_ENDED, after_s=seconds, camera="top", name=name, reason=reason,
                 ended_ns=self.clock.epoch + round(seconds * S))


def report(*arguments: object, command: Any = report_command) -> str:
    done = CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(text: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Recordings and gaps."""
    recordings, _, gaps = text.partition("\n\n")
    return (list(csv.DictReader(io.StringIO(recordings))), list(csv.DictReader(io.StringIO(gaps))))


def test_zone_and_nights_are_those_of_the_place(tmp_path: Path) -> None:
    log = Written(tmp_path)
    log.add(Kind.CONFIG, digest="d", yaml=CONFIG)
    log.add(Kind.PLACE, latitude=48.16, longitude=16.51)
    log.recording("bees", 40 * 3600)
    log.book.close()
    said = report(tmp_path)
    assert "2026-11-18 12:06:40 to 2026-11-20 04:06:40 (Europe/Vienna)" in said
    assert "48.16000° N, 16.51000° E" in said
    assert "(UTC)" in report(tmp_path, "--timezone", "UTC")
    html = report(tmp_path, "--format", "html")
    (night,) = [line for line in html.splitlines() if line.startswith('<path class="night"')]
    assert night.count("M") == 2, "two nights lie in these forty hours"


def test_a_clock_that_was_wrong_until_later_is_put_right(tmp_path: Path) -> None:
    """No battery for the clock: 1970 until NTP answers, 100 s after the start."""
    clock = StoodClock()
    right_ns, clock.epoch = clock.epoch, 5 * S
    log = Written(tmp_path, clock)
    log.recording("early", 100, "battery critical")
    clock.epoch += right_ns - 5 * S
    log.add(Kind.CLOCK_STEP, moved_s=(right_ns - 5 * S) / 1e9)
    log.recording("late", 50)
    log.book.close()
    (early, late), gaps = rows(report(tmp_path, "--format", "csv"))
    assert early["from_utc"] == "2026-11-18T11:06:40.000Z" and early["first_ns"] == str(5 * S)
    assert late["from_utc"] == "2026-11-18T11:08:20.000Z"
    assert early["recorded_s"] == "100.000" and float(early["clock_correction_s"]) > 1e9
    assert gaps == [], "nothing was missed: the clock jumped, the time did not"


def test_a_record_that_went_on_on_another_disk_is_one(tmp_path: Path) -> None:
    clock = StoodClock()
    for name in ("a", "b"):
        log = Written(tmp_path / name / "logbook" / "pond", clock)
        log.recording(f"on-{name}", 10, "disk full")
        log.add(Kind.STOPPED, reason="x")
        log.book.close()
        clock.epoch += 20 * S
    recordings, gaps = rows(report(tmp_path, "--format", "csv"))
    assert [row["recording"] for row in recordings] == ["on-a", "on-b"]
    assert [(row["cause"], row["length_s"]) for row in gaps] == [("disk", "20.000")]


def test_damaged_and_hostile_configurations_are_not_known(tmp_path: Path) -> None:
    for number, yaml in enumerate(("[", "system: 5", "!!python/object/apply:os.system [ls]", "",
                                   "system: {timezone: ../../etc/passwd}",
                                   "system: {timezone: UTC}\nschedule: {location: {latitude: x}}")):
        log = Written(tmp_path / str(number))
        log.add(Kind.CONFIG, digest="d", yaml=yaml)
        log.book.close()
        assert "(UTC)" in report(tmp_path / str(number))


def test_reports_are_not_written_where_they_cannot_be(tmp_path: Path) -> None:
    log = Written(tmp_path / "log")
    log.recording("bees", 10)
    log.book.close()
    for output in (tmp_path / "nowhere" / "a.html", tmp_path / "log"):
        with pytest.raises(StoreError):
            report(tmp_path / "log", "-o", output, "--format", "text")
    report(tmp_path / "log", "-o", tmp_path / "a.csv")
    assert "bees" in (tmp_path / "a.csv").read_text()
    assert (tmp_path / "a-gaps.csv").read_text().count("\n") == 1


def test_the_deployment_without_a_daemon(tmp_path: Path) -> None:
    at = ("--recordings", tmp_path)
    assert report(*at, command=deployment_command) == "deployment\n"
    assert not (tmp_path / ".fieldrec").exists(), "looking leaves nothing"
    assert report("marsh", *at, command=deployment_command) == "deployment marsh\n"
    assert report(*at, command=deployment_command) == "marsh\n"
    with pytest.raises(UsageError, match="cannot be a deployment's name"):
        report("a/b", *at, command=deployment_command)
