"""Features of an open pylon camera as :class:`fieldrec.camera.parameters.Parameter`.

Called by whoever owns the camera. pylon's own exceptions come through. What a node is shows in
what it has: pypylon's classes for it changed between its versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fieldrec.camera.feature_rules import bound, is_live, step
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.pixel_formats import recordable

OLDER: Final = {
    "AcquisitionFrameRate": ("AcquisitionFrameRateAbs",),
    "ExposureTime": ("ExposureTimeAbs", "ExposureTimeRaw"),
    "Gain": ("GainRaw",),
    "BlackLevel": ("BlackLevelRaw",),
}
"""GenICam's name -> what Basler's older cameras have instead, or beside it."""
_SWITCHES: Final[dict[str, tuple[str, Value]]] = {
    "AcquisitionFrameRate": ("AcquisitionFrameRateEnable", True),
    "ExposureTime": ("ExposureAuto", "Off"),
    "Gain": ("GainAuto", "Off"),
}
"""What must be set for a feature to have its say."""
_UNITS: Final = {"AcquisitionFrameRate": "Hz", "ExposureTime": "us"}
_EXPERT: Final = 1
"""The visibility up to which features are shown: beginner, expert; not guru, invisible."""


class Nodes:
    """The features of one open camera."""

    def __init__(self, node_map: Any, genicam: Any) -> None:
        """`genicam` is pypylon's module."""
        self._map = node_map
        self._genicam = genicam

    def node(self, *names: str) -> Any:
        """The first of these features that the camera has in its present state, or None."""
        for name in names:
            found = self._map.GetNode(name)
            if found is not None and self._genicam.IsAvailable(found):
                return found
        return None

    def feature(self, name: str) -> Any:
        """The feature under GenICam's name or the older one, or None."""
        return self.node(name, *OLDER.get(name, ()))

    def number(self, names: tuple[str, ...], default: float) -> float:
        """Value of the first of these features."""
        found = self.node(*names)
        return default if found is None else float(found.Value)

    def is_command(self, name: str) -> bool:
        """Whether the camera has a command of this name."""
        return hasattr(self.node(name), "Execute")

    def names(self) -> list[str]:
        """All features, in the camera's order; an older name only where there is no newer one."""
        found = list(dict.fromkeys(self._below(self._map.GetNode("Root"))))
        doubles = set()
        for new, older in OLDER.items():
            present = [name for name in (new, *older) if name in found]
            doubles.update(present[1:])
            if present and new not in found:
                found[found.index(present[0])] = new
        return [name for name in found if name not in doubles]

    def parameter(self, name: str) -> Parameter | None:
        """The feature with its value and range now; None when the camera does not have it, or not
        in its present state, and for commands."""
        node = self.feature(name)
        if node is None or not self._genicam.IsReadable(node) or not hasattr(node, "Value"):
            return None
        value = node.Value
        if not isinstance(value, bool | int | float | str):
            return None
        choices = tuple(node.Symbolics) if hasattr(node, "Symbolics") else ()
        low, high, by = _limits(node, value)
        own = _name(node)
        return Parameter(
            name, value, bound(low), bound(high), step(by, whole=isinstance(value, int)),
            recordable(choices) if name == "PixelFormat" else choices,
            _UNITS.get(name) or str(getattr(node, "Unit", "")),
            live=is_live(name), writable=bool(self._genicam.IsWritable(node)),
            alias="" if own == name else own)

    def write(self, name: str, value: Value) -> None:
        """Set it, what gives it its say before; a command is executed."""
        node = self.feature(name)
        if hasattr(node, "Execute"):
            node.Execute()
            return
        switch, needed = _SWITCHES.get(name, ("", ""))
        lever = self.node(switch) if switch else None
        if lever is not None and lever.Value != needed and self._genicam.IsWritable(lever):
            lever.Value = needed
        node.Value = value

    def _below(self, category: Any) -> Iterator[str]:
        for child in category.GetFeatures():
            if hasattr(child, "GetFeatures"):
                yield from self._below(child)
            elif child.Node.GetVisibility() <= _EXPERT and not hasattr(child, "Execute"):
                yield _name(child)


def _name(node: Any) -> str:
    return str(node.Node.GetName())


def _limits(node: Any, value: Value) -> tuple[float | None, float | None, float | None]:
    """Least, greatest, step; of what is no number, none."""
    if isinstance(value, bool | str) or not hasattr(node, "Min"):
        return None, None, None
    stepped = not hasattr(node, "HasInc") or node.HasInc()
    return node.Min, node.Max, node.Inc if stepped else None
