"""Parameters as people write them: NAME=VALUE. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from fieldrec.camera.parameters import Value
from fieldrec.core.errors import UsageError


def parse_values(pairs: Iterable[str]) -> dict[str, Value]:
    """The pairs as a mapping; what the text means is the parameter's to say, when it is set.
    UsageError names a wrong one."""
    values: dict[str, Value] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise UsageError(f"{pair!r}: expected NAME=VALUE, e.g. ExposureTime=5000")
        values[name.strip()] = value.strip()
    return values
