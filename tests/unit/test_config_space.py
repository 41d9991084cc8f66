"""The section about room: every mistake is one line with file, line, key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.config import load_document
from fieldrec.config.space import SpaceConfig, below_stop
from tests.fakes.config_words import problem


@pytest.mark.parametrize(("text", "says"), [
    ("space: {warn_hours: 0}", "1: space.warn_hours: input should be greater than 0 (got 0)"),
    ("space: {act_hours: -3}", "1: space.act_hours: input should be greater than 0 (got -3)"),
    ("space: {act_hours: .nan}", "1: space.act_hours: input should be a finite number (got nan)"),
    ("space: {act_hours: 1000000}", "1: space.act_hours: input should be less than or equal to "
                                "100000 (got 1000000)"),
    ("space: {act_hours: soon}", "1: space.act_hours: input should be a valid number, unable to "
                                 "parse string as a number (got 'soon')"),
    ("space:\n  act_hours: 13", "1: space: act_hours 13 must be less than warn_hours 12"),
    ("space:\n  warn_percent: 95", "1: space: warn_percent 95 must be less than act_percent 90"),
    ("space: {readings: 0}", "1: space.readings: input should be greater than or equal to 1 "
                             "(got 0)"),
    ("space: {readings: 2.5}", "1: space.readings: input should be a valid integer, got a number "
                               "with a fractional part (got 2.5)"),
    ("space: {copies: 0}", "1: space.copies: input should be greater than or equal to 1 (got 0)"),
    ("space:\n  act: [stop, delete_verified]",
     "2: space.act: each once, in this order: delete_verified, export_on_battery, stop"),
    ("space:\n  act: [stop, stop]",
     "2: space.act: each once, in this order: delete_verified, export_on_battery, stop"),
    ("space: {act: [delete]}", "1: space.act.0: input should be 'delete_verified', "
                               "'export_on_battery' or 'stop' (got 'delete')"),
    ("space: {warn_hour: 3}", "1: space.warn_hour: unknown key; did you mean 'warn_hours'?"),
    ("storage: {stop_percent: 90}\nspace:\n  act_percent: 91",
     "3: space.act_percent: 91 must be less than storage.stop_percent 90, at which recording "
     "stops"),
    ("space:\n  act: [export_on_battery]",
     "2: space.act: export_on_battery makes no room while export.raw is keep: exports would only "
     "fill the disk; set export.raw to delete_verified, or leave it out"),
    ("energy: {battery_wh: 0}", "1: energy.battery_wh: input should be greater than 0 (got 0)"),
    ("energy: {battery_wh: lots}", "1: energy.battery_wh: input should be a valid number, unable "
                                   "to parse string as a number (got 'lots')"),
])
def test_mistakes(tmp_path: Path, text: str, says: str) -> None:
    assert problem(tmp_path, text + "\n") == says


def test_what_goes_together(tmp_path: Path) -> None:
    file = tmp_path / "box.yaml"
    file.write_text("space: {act: [delete_verified, export_on_battery, stop]}\n"
                    "export: {raw: delete_verified}\nstorage: {stop_percent: 50}\n")
    space = load_document(file)[1].space
    assert space.act == ("delete_verified", "export_on_battery", "stop")
    lower = below_stop(space, 50)
    assert (lower.warn_percent, lower.act_percent) == (42.5, 47.5)
    assert below_stop(SpaceConfig(), 94) == SpaceConfig()
