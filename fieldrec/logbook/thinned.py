"""A curve of bounded size, whatever is put into it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_POINTS = 4000


@dataclass(slots=True)
class Curve:
    """Points in the order of their time; when there are too many, each two become one that keeps
    the lowest and the highest of them."""

    points: list[tuple[int, float, float]] = field(default_factory=list)
    """(time_ns, lowest, highest)."""
    lowest: float | None = None
    highest: float | None = None
    count: int = 0
    """Values that were put into it."""

    def add(self, time_ns: int, value: float) -> None:
        """The next one."""
        self.count += 1
        self.lowest = value if self.lowest is None else min(self.lowest, value)
        self.highest = value if self.highest is None else max(self.highest, value)
        self.points.append((time_ns, value, value))
        if len(self.points) >= MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            self.points = [(a[0], min(a[1], b[1]), max(a[2], b[2])) for a, b in pairs]
