"""The share an export gets beside a recording: none at once when a ring fills, again after calm."""

from __future__ import annotations

import pytest

from fieldrec.app.beside import CALM_S, BesideRecording
from fieldrec.config import ExportConfig
from fieldrec.core.model import CameraState, Heat
from fieldrec.core.snapshot import RecorderStatus


def recorder(heat: Heat, state: CameraState = CameraState.RECORDING) -> RecorderStatus:
    return RecorderStatus(key="left", serial="L", state=state, heat=heat)


def judge(**config: object) -> BesideRecording:
    return BesideRecording(ExportConfig.model_validate({"while_recording": "throttled", **config}))


def test_it_waits_for_calm_and_stops_at_once() -> None:
    beside = judge(throttle_share=0.4)
    calm = [recorder(Heat.LOW), recorder(Heat.NONE)]
    assert not beside.look(calm, True, 100.0)  # the recording begins just now
    assert not beside.look(calm, True, 100.0 + CALM_S - 0.1)
    assert beside.share == 0.0
    assert beside.look(calm, True, 100.0 + CALM_S)
    assert beside.share == 0.4
    assert not beside.look(calm, True, 200.0)
    assert beside.look([recorder(Heat.LOW), recorder(Heat.MEDIUM)], True, 201.0)
    assert beside.share == 0.0
    assert not beside.look(calm, True, 201.0 + CALM_S - 0.1)
    assert not beside.look([recorder(Heat.HIGH)], True, 201.0 + CALM_S)  # again: from the start
    assert not beside.look(calm, True, 202.0 + CALM_S)
    assert beside.look(calm, True, 201.0 + 2 * CALM_S)
    assert beside.look([], False, 300.0)
    assert beside.share == 0.0


def test_a_camera_that_does_not_record_does_not_count() -> None:
    beside = judge()
    away = [recorder(Heat.HIGH, CameraState.FAILED)]
    beside.look(away, True, 0.0)
    assert beside.look(away, True, CALM_S)


@pytest.mark.parametrize("heat", Heat)
def test_unless_configured_there_is_none(heat: Heat) -> None:
    beside = judge(while_recording="wait")
    for now_s in (0.0, 10 * CALM_S):
        assert not beside.look([recorder(heat)], True, now_s)
    assert beside.share == 0.0
