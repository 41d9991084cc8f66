"""Which numbers are missing in a recording, and why, as lists for a sidecar. Pure, any thread.

**Dropped**: the camera skipped them; **lost**: our ring overflowed; **paused**: left out on
purpose. The recorder writes down what it lost and left out, in the extra data; all else that is
missing was dropped. A store of another program knows of dropped frames only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("dropped", "lost", "paused")
_TOLD = ("first_number", "last_number", "count", "first_time_ns", "last_time_ns")

Gap = dict[str, int]
"""`first_number`, `count` (of missing frames) and times: of dropped ones `before_ns` and
`after_ns`, those of the frames around them; of lost and paused ones `last_number`, `first_time_ns`
and `last_time_ns`, their own."""


def gaps(numbers: NDArray[Any], times_ns: NDArray[np.int64],
         records: Iterable[Mapping[str, Any]], noted_lost: Any = None) -> dict[str, list[Gap]]:
    """Every gap between these frames, by kind, in the order of time.

    `noted_lost`: the runs that the store's metadata lists, of any type; they count where a full
    disk had no room for extra data.
    """
    found: dict[str, list[Gap]] = {kind: [] for kind in KINDS}
    for record in records:
        for kind in KINDS[1:]:
            values = [value for name in _TOLD
                      if type(value := record.get(f"{kind}_{name}")) is int]
            if len(values) == len(_TOLD):
                found[kind].append(dict(zip(_TOLD, values, strict=True)))
    if not found["lost"] and isinstance(noted_lost, list):
        found["lost"] = [gap for run in noted_lost if (gap := _noted(run)) is not None
                         and times_ns[0] <= gap["first_time_ns"] <= times_ns[-1]]
    for kind in KINDS[1:]:
        found[kind].sort(key=lambda gap: gap["first_time_ns"])
    found["dropped"] = _dropped(numbers, times_ns, [*found["lost"], *found["paused"]])
    return found


def _noted(run: Any) -> Gap | None:
    """One run of the metadata, which may be anybody's."""
    if not isinstance(run, list) or len(run) != len(_TOLD) or any(
            type(value) is not int for value in run):
        return None
    return dict(zip(_TOLD, run, strict=True))


def _dropped(numbers: NDArray[Any], times_ns: NDArray[np.int64], told: list[Gap]) -> list[Gap]:
    """Gaps in the numbers that nobody else answers for, or not for all of them."""
    before = np.flatnonzero(np.diff(numbers) > 1)
    missing = (numbers[before + 1] - numbers[before]).astype(np.int64) - 1
    begins_ns = times_ns[before]
    for gap in told:  # it belongs to the gap around its time, if its numbers fit
        place = int(np.searchsorted(begins_ns, gap["first_time_ns"])) - 1
        if place < 0:
            continue
        at = int(before[place])
        if numbers[at] < gap["first_number"] and gap["last_number"] < numbers[at + 1]:
            missing[place] -= min(gap["count"], int(missing[place]))
    return [{"first_number": int(numbers[at]) + 1, "count": int(missing[place]),
             "before_ns": int(times_ns[at]), "after_ns": int(times_ns[at + 1])}
            for place, at in enumerate(before.tolist()) if missing[place] > 0]
