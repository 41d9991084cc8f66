"""Every level before x every kind of reading x the dwell over or not, against a table written by
hand from the words of the configuration and of DESIGN, not from the code.

A cell is two letters: the level at once, and when the same was read for the whole dwell. Levels:
U nknown, M ains, B attery, L ow, C ritical. The levels before were reached at: nothing read, mains,
50 %, 18 %, 8 %. LOW is 20 % and below until above 30 %, CRITICAL 10 % and below until above 15 %; a
change by more than 20 points is a jump.
"""

from __future__ import annotations

import pytest

from fieldrec.config.power import PowerConfig
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.levels import PowerJudge

LETTERS = {"U": PowerLevel.UNKNOWN, "M": PowerLevel.MAINS, "B": PowerLevel.BATTERY,
           "L": PowerLevel.LOW, "C": PowerLevel.CRITICAL}
DWELL_S, UNREADABLE_S = 30.0, 300.0
CONFIG = PowerConfig(low_percent=20, low_leave_percent=30, critical_percent=10,
                     critical_leave_percent=15, dwell_s=DWELL_S, unreadable_s=UNREADABLE_S)


def reading(percent: float | None = None, *, mains: bool | None = False,
            charging: bool | None = False, says: PowerLevel | None = None, forced: bool = False,
            problem: str = "") -> PowerReading:
    return PowerReading(mains, percent, None, None, charging, "test", problem=problem, says=says,
                        forced=forced)


BEFORE: dict[str, list[tuple[float, PowerReading]]] = {
    "U": [],
    "M": [(0.0, reading(mains=True))],
    "B": [(0.0, reading(50))],
    "L": [(0.0, reading(18))],
    "C": [(0.0, reading(8)), (DWELL_S, reading(8))],
}
SAID = PowerLevel
TABLE: list[tuple[str, PowerReading, str]] = [
    #                                                                 U  M  B  L  C
    ("mains", reading(mains=True),                                   "MM MM MM MM MM"),
    ("mains, battery unreadable", reading(mains=True, problem="x"),  "MM MM MM MM MM"),
    ("mains, 3 %, charging", reading(3, mains=True, charging=True),  "MM MM MM MM MM"),
    ("mains, 3 %, not yet charging", reading(3, mains=True),         "MM MM MM MM MM"),
    ("100 %", reading(100),                                          "BB MB BB LB CB"),
    ("60 %", reading(60),                                            "BB MB BB LB CB"),
    ("31 %", reading(31),                                            "BB MB BB BB CB"),
    ("30 %", reading(30),                                            "BB MB BB LL CL"),
    ("21 %", reading(21),                                            "BB MB BB LL LL"),
    ("20 %", reading(20),                                            "LL ML BL LL LL"),
    ("16 %", reading(16),                                            "LL ML BL LL LL"),
    ("15 %", reading(15),                                            "LL ML BL LL CC"),
    ("11 %", reading(11),                                            "LL ML BL LL CC"),
    ("10 %", reading(10),                                            "LC MC BC LC CC"),
    ("0 %", reading(0),                                              "LC MC BC LC CC"),
    ("15 %, charging from the sun", reading(15, charging=True),      "LL ML BL LL CC"),
    ("40 %, nobody knows of mains", reading(40, mains=None),         "BB MB BB LB CB"),
    ("no charge figure", reading(),                                  "UU MM BB LL CC"),
    ("unreadable", reading(problem="ENODATA"),                       "UU MM BB LL CC"),
    ("unreadable, no mains known", reading(mains=None, problem="x"), "UU MM BB LL CC"),
    ("battery, in words", reading(says=SAID.BATTERY),                "BB MB BB LL CC"),
    ("low, in words", reading(says=SAID.LOW),                        "LL ML BL LL CC"),
    ("critical, in words", reading(says=SAID.CRITICAL),              "LC MC BC LC CC"),
    ("100 %, critical in words", reading(100, says=SAID.CRITICAL),   "LC MC BC LC CC"),
    ("5 %, battery in words", reading(5, says=SAID.BATTERY),         "LC MC BC LC CC"),
    ("power cut now", reading(says=SAID.CRITICAL, forced=True),      "CC CC CC CC CC"),
    ("90 %, cut now", reading(90, says=SAID.CRITICAL, forced=True),  "CC CC CC CC CC"),
]


@pytest.mark.parametrize(("what", "row"), [row[1:] for row in TABLE],
                         ids=[name for name, _, _ in TABLE])
def test_level(what: PowerReading, row: str) -> None:
    assert " ".join(cell(before, what) for before in BEFORE) == row


def cell(before: str, what: PowerReading) -> str:
    judge = prepared(before)
    at_once, still, after = (letter(judge.update(what, ns(at_s)).level)
                             for at_s in (100, 100 + DWELL_S - 0.001, 100 + DWELL_S))
    assert at_once == still, f"{before}: changed before the dwell was over"
    return at_once + after


def test_silence_for_long() -> None:
    assert " ".join(map(after_silence, BEFORE)) == "L L L L C"


def after_silence(before: str) -> str:
    judge = prepared(before)
    began_s = max((at_s for at_s, _ in BEFORE[before]), default=100.0)
    judge.update(reading(problem="x"), ns(100))
    held = judge.update(reading(problem="x"), ns(began_s + UNREADABLE_S - 0.001)).level
    assert (letter(held), judge.undecided) == (before, True)
    return letter(judge.update(reading(problem="x"), ns(began_s + UNREADABLE_S)).level)


def letter(level: PowerLevel) -> str:
    return next(letter for letter, named in LETTERS.items() if named is level)


def prepared(before: str) -> PowerJudge:
    judge, level = PowerJudge(CONFIG), PowerLevel.UNKNOWN
    for at_s, what in BEFORE[before]:
        level = judge.update(what, ns(at_s)).level
    assert level is LETTERS[before]
    return judge


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


@pytest.mark.parametrize("over", [reading(60, mains=True),
                                  reading(60, charging=True, says=SAID.BATTERY)])
def test_what_is_said_in_words_holds_until_mains_or_charging(over: PowerReading) -> None:
    """A UPS's "low battery" flickers at its threshold; a battery does not fill by itself."""
    judge = PowerJudge(CONFIG)
    judge.update(reading(60, says=SAID.CRITICAL), ns(0))
    assert judge.update(reading(60, says=SAID.CRITICAL), ns(30)).level is PowerLevel.CRITICAL
    assert judge.update(reading(60, says=SAID.BATTERY), ns(40)).level is PowerLevel.CRITICAL
    assert judge.update(reading(60), ns(400)).level is PowerLevel.CRITICAL
    better = PowerLevel.MAINS if over.on_mains else PowerLevel.BATTERY
    assert judge.update(over, ns(410)).level is better


def test_one_low_battery_between_is_not_believed() -> None:
    judge = PowerJudge(CONFIG)
    judge.update(reading(60), ns(0))
    judge.update(reading(60, says=SAID.CRITICAL), ns(10))
    assert judge.undecided
    judge.update(reading(60, says=SAID.BATTERY), ns(20))
    assert judge.update(reading(60, says=SAID.CRITICAL), ns(45)).level is PowerLevel.BATTERY


@pytest.mark.parametrize(("before", "what", "reason"), [
    (None, reading(says=SAID.BATTERY), "on battery"),
    (reading(40, says=SAID.LOW), reading(says=SAID.CRITICAL),
     "on battery: test itself says low; critical if it stays for 30 s"),
    (reading(40), reading(40, says=SAID.CRITICAL, forced=True),
     "charge 40 %: test itself says critical, and that it cuts the power now"),
])
def test_reasons_of_words(before: PowerReading | None, what: PowerReading, reason: str) -> None:
    judge = PowerJudge(CONFIG)
    if before is not None:
        judge.update(before, ns(0))
    assert judge.update(what, ns(1)).reason == reason


def test_notes_are_shown_with_the_reason() -> None:
    noted = PowerReading(True, 80, None, None, True, "test", note="nut silent")
    assert PowerJudge(CONFIG).update(noted, 0).reason == "on mains, battery 80 %; nut silent"
