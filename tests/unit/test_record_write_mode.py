"""The cheap way while there is time; the way that carries more when the ring is nearly full."""

from __future__ import annotations

from fieldrec.core.model import Heat
from fieldrec.record.write_mode import STALE_NS, WriteMode

QUARTER_NS = 250_000_000


def simulate(past_hz: float, through_hz: float, looks: int) -> list[bool]:
    """The decisions on a disk that carries so many frames a second either way, ring full."""
    mode, count, decisions = WriteMode(), 0.0, []
    for number in range(looks):
        count += (past_hz if mode.past_cache else through_hz) / 4
        decisions.append(mode.look(Heat.HIGH, int(count), number * QUARTER_NS))
    return decisions


def test_past_the_cache_while_the_ring_has_room() -> None:
    mode = WriteMode()
    for number, heat in enumerate((Heat.NONE, Heat.LOW, Heat.MEDIUM)):
        assert mode.look(heat, 10 * number, number * QUARTER_NS)


def test_a_full_ring_tries_the_cache_and_keeps_what_carries_more() -> None:
    assert simulate(100.0, 400.0, 12).count(False) >= 10
    assert simulate(400.0, 100.0, 12).count(True) >= 10


def test_the_slower_way_is_tried_again_for_disks_change() -> None:
    looks = 4 * (3 * STALE_NS // 1_000_000_000)
    decisions = simulate(400.0, 100.0, looks)
    tried = [number for number, past in enumerate(decisions) if not past]
    assert 2 <= len(tried) <= 5


def test_back_to_the_cheap_way_once_there_is_room() -> None:
    mode = WriteMode()
    mode.look(Heat.HIGH, 0, 0)
    assert not mode.look(Heat.HIGH, 10, QUARTER_NS)
    assert mode.look(Heat.MEDIUM, 20, 2 * QUARTER_NS)
