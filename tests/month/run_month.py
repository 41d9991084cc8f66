"""A simulated month: the real app through 30 days of sun, storms, drives, cuts and a tired clock.

    python -m tests.month.run_month --days 30 --seed 1 [--keep FOLDER] [--short]

Needs root. Each boot of the box is a process of its own; between two boots this process lets the
world go on. Ends with figures, and with exit code 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import datetime as dt
import faulthandler
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fieldrec.config import Config
from tests.crash.running import MEMORY
from tests.fakes.waiting import PATIENCE_S, wait_until
from tests.month import judging
from tests.month.box_life import add_cameras, live, pass_time, slow_looks
from tests.month.field import Field, field_in, missing
from tests.month.machine import POWER_OFF, SUSPEND
from tests.month.scenario import LATITUDE, LONGITUDE, ZONE, Scenario, month, short
from tests.month.story import State, Story
from tests.month.world import FULL_MWH, Battery, Load, Sky

WAKE_PERCENT = 25.0
"""The charger switches the box on again above this."""
MOST_BOOTS = 400


@dataclass
class Outcome:
    """A month, in figures."""

    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    story: Story | None = None
    broken: bool = False
    """A boot ended with a traceback: there is no going on."""


def configured(scenario: Scenario, field: Field, **more: Any) -> Config:
    """The box's configuration."""
    document: dict[str, Any] = {
        "system": {"name": "month", "timezone": ZONE, "shutdown_budget_s": 30},
        "storage": {"directory": str(field.recordings), "reserve_bytes": "3 MB",
                    "stop_percent": 92},
        "record": {"name": "pond"},
        "cameras": {"top": {"backend": "timelapse", "options": {
            "ledger": str(field.ledger), "period_s": scenario.period_s}}},
        "export": {"automatic": True, "raw": "delete_when_offloaded"},
        "drives": {"match": field.drives.match, "mounter": "mount", "mount_root": str(field.mounts),
                   "keep_free_bytes": "1 MB", "unproven_moves": True},  # full drives are no news
        "power": {"path": str(field.power), "poweroff_command": [POWER_OFF]},
        "sleep": {"mode": scenario.sleep, "command": [SUSPEND], "rtc": str(field.root / "rtc")},
        "space": {"act": ["delete_verified"]},
        "schedule": {
            "location": {"latitude": LATITUDE, "longitude": LONGITUDE},
            "tasks": {
                "night": {"do": "start", "when": "from dusk-30m to dawn+30m"},
                "noon": {"do": "start", "when": "30 11 * * *", "duration": "20min"},
            }},
    }
    known = {key: value for key, value in document.items() if key in Config.model_fields}
    return Config.model_validate({**known, **more})


def run(scenario: Scenario, folder: Path, *, configure: Callable[..., Config] = configured,
        page: Path | None = None) -> Outcome:
    """The whole scenario in `folder` (new, in memory); needs root. `page`: for the report."""
    add_cameras()  # before the forks, so that each finds them imported
    outcome = Outcome(story=Story(folder))
    story = Story(folder)
    with field_in(folder, scenario.disk_mb, scenario.drives) as field:
        config = configure(scenario, field)
        story.write(State(now_ns=scenario.begins_ns, battery=Battery(0.7 * FULL_MWH)))
        began_s = time.monotonic()
        while story.read().now_ns < scenario.ends_ns:
            _one_boot(config, scenario, field, story, outcome)
            if story.read().boots > MOST_BOOTS:
                outcome.wrong.append("the box goes on and off without end")
                break
            if outcome.broken:
                break
        outcome.figures["real seconds"] = round(time.monotonic() - began_s, 1)
        found = judging.at_the_end(field, story, config, scenario)
        if page is not None:
            judging.report(field, "html", page)
        outcome.wrong += found.wrong
        outcome.figures |= _figures(scenario, field, story, found)
    return outcome


def _one_boot(config: Config, scenario: Scenario, field: Field, story: Story, outcome: Outcome
              ) -> None:
    code = _forked(lambda: live(config, scenario, field, story), field.root / "box.log")
    state = story.read()
    outcome.broken = code == 1
    if state.why_ended not in (*judging.IN_ORDER, *judging.CUTS) or (
            code != 0 and state.why_ended in judging.IN_ORDER):
        outcome.wrong.append(f"boot {state.boots} ended badly: {state.why_ended!r}, code {code}; "
                             "see box.log")
        state.why_ended, state.off_until_ns = "cut", state.now_ns + 60 * 10**9
        field.cut()
    if state.why_ended in judging.CUTS:
        field.power_is_back()
    outcome.wrong += [f"after boot {state.boots} ({state.why_ended}): {wrong}"
                      for wrong in judging.after_boot(field, state.why_ended)]
    if state.why_ended not in ("over", "stays on"):
        _off(state, scenario)
    story.write(state)


def _off(state: State, scenario: Scenario) -> None:
    """The box is off until power is back, or the charger or the RTC switches it on. Who would have
    put a drive in, or taken it out, comes again when it is on."""
    sky = Sky(scenario.seed, dt.datetime.fromtimestamp(scenario.begins_ns / 1e9, dt.UTC),
              scenario.overcast)
    while state.now_ns < scenario.ends_ns:
        powered = state.battery.percent >= WAKE_PERCENT
        if state.why_ended in ("power off", "empty"):
            woken = state.wake_ns is not None and state.now_ns >= state.wake_ns
            if (powered and state.battery.on_mains) or (woken and state.battery.percent > 2):
                state.wake_ns = None
                return
        elif state.now_ns >= state.off_until_ns:
            return
        pass_time(state, sky, state.now_ns + 300 * 10**9, Load(on=False))


def _forked(call: Callable[[], None], log: Path) -> int:
    """Run it in a process of its own; its exit code, below 0 for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _log_into(log)
            call()
            code = 0
        except BaseException:  # noqa: BLE001 - said in the log
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:  # told to end
        os.killpg(pid, signal.SIGKILL)
        raise
    wait_until(lambda: _group_is_gone(pid), PATIENCE_S, "the processes of the box are gone")
    return os.waitstatus_to_exitcode(status)


def _group_is_gone(group: int) -> bool:
    """Export processes die with the box; they hold its disk until they have."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return False


def _log_into(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.register(signal.SIGUSR1)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    slow_looks()


def _figures(scenario: Scenario, field: Field, story: Story, found: judging.Found
             ) -> dict[str, Any]:
    ended = Counter(line["why"] for line in story.diary("ended"))
    last = {(line["number"], line["created_ns"]): (line["kind"], line["state"])
            for line in story.diary("job")}
    jobs = Counter(last.values())
    state = story.read()
    return {
        "simulated days": scenario.days, "seed": scenario.seed, "boots": state.boots,
        "boots ended": dict(ended),
        "recordings": len(found.recordings),
        "frames given": len(judging.given(field)), "frames found": len(found.anywhere),
        "frames cut off": found.cut_off,
        "jobs": {f"{kind} {state}": count for (kind, state), count in sorted(jobs.items())},
        "gaps by cause": dict(found.gaps), "planned hours": round(found.planned_h, 1),
        "of these not recorded": round(found.missing_h, 1),
        "visits": len(story.diary("insert")),
        "room": Counter(line["tier"] for line in story.diary("room")),
        "hours asleep": round(state.asleep_s / 3600, 1),
        "least battery %": round(100 * state.battery.least_mwh / FULL_MWH, 1),
        "wrong": Counter(line["text"] for line in story.diary("wrong")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sleep", default="never", help="sleep.mode: between_windows")
    parser.add_argument("--disk-mb", type=int, help="size of the recordings' disk")
    parser.add_argument("--short", action="store_true", help="the suite's three days")
    parser.add_argument("--keep", type=Path, help="a new folder in which all is left")
    parser.add_argument("--page", type=Path, help="a file for the report's page")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it has mounted is given back
    if why := missing():
        sys.exit(f"a simulated month: {why}")
    scenario = short(options.seed) if options.short else month(options.seed, options.days,
                                                                 options.sleep)
    if options.disk_mb is not None:
        scenario = replace(scenario, disk_mb=options.disk_mb)
    if options.keep is not None:
        options.keep.mkdir(parents=True)
        outcome = run(scenario, options.keep, page=options.page)
    else:
        with tempfile.TemporaryDirectory(prefix="fieldrec-month-", dir=MEMORY) as folder:
            outcome = run(scenario, Path(folder), page=options.page)
    for name, figure in outcome.figures.items():
        print(f"{name}: {figure}")
    for wrong in outcome.wrong[:60]:
        print(f"WRONG: {wrong}")
    print(f"{len(outcome.wrong)} things wrong")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
