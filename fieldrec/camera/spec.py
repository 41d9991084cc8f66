"""The camera SPEC of a command line, such as ``synthetic:1280x1024@60,mono8``, taken apart.

Pure but for the list of backends. Width comes first in a SPEC, as people write it; inside shapes
are (height, width). The options are not validated here: :func:`fieldrec.camera.discovery` does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from fieldrec.camera.discovery import backend_names
from fieldrec.config.section import SAFE_NAME
from fieldrec.core.errors import UsageError

EXAMPLES = ("synthetic", "synthetic:1280x1024@60,mono8", "file:clip.mp4", "opencv:/dev/video0",
            "basler:40012345", "genicam:192.168.1.20",
            "network:rtsp://192.168.1.30/live,store=packets")

_SIZE = re.compile(r"^([0-9]+)x([0-9]+)(?:@([0-9]+(?:\.[0-9]+)?))?$", re.IGNORECASE)
_RATE = re.compile(r"^@([0-9]+(?:\.[0-9]+)?)$")
_FORMAT = re.compile(r"^(mono|bgr|rgb|bayer_?[a-z]{2})_?[0-9]+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """What a SPEC says; the fields are those of a camera in the configuration."""

    key: str
    """Name of the camera in this run; safe in file names."""
    backend: str
    serial: str
    options: dict[str, str] = field(default_factory=dict)
    """Option values as text; the backend's model turns them into numbers."""


def parse_spec(text: str) -> CameraSpec:
    """Take one SPEC apart; UsageError says what was expected and gives an example."""
    backend, colon, rest = text.partition(":")
    names = backend_names()
    if backend not in names:
        near = difflib.get_close_matches(backend, names, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise _wrong(text, f"no camera backend '{backend}'; {hint}there are: {', '.join(names)}")
    if backend == "file":
        return _file(text, rest)
    place, words = _place_and_words(backend, rest)
    if colon and not rest:
        raise _wrong(text, "nothing after ':'")
    if backend == "synthetic":
        return CameraSpec("synthetic", backend, "synthetic", _options(text, words))
    if not place:
        raise _wrong(text, "which device is missing")
    options = _options(text, words)
    name = safe_name(Path(place).name)
    if backend == "network":  # a name without the user and password that a URL may hold
        host = urlsplit(place).hostname if "://" in place else place
        name = safe_name(host or "network")
        return CameraSpec(name, backend, name, {"url" if "://" in place else "axis": place,
                                                **options})
    if backend == "opencv":
        return CameraSpec(name, backend, name, {"device": place, **options})
    return CameraSpec(name, backend, place, options)


def parse_specs(texts: Iterable[str]) -> list[CameraSpec]:
    """Take several apart and give each key and serial that occurs again a number: a recording's
    name holds the serial."""
    specs: list[CameraSpec] = []
    for text in texts:
        spec = parse_spec(text)
        taken = {other.key for other in specs} | {other.serial for other in specs}
        if spec.key in taken or spec.serial in taken:
            if spec.backend not in ("synthetic", "file", "network"):  # one host, many streams
                raise _wrong(text, "this camera is there twice")
            name = next(f"{spec.key}-{number}" for number in range(2, len(specs) + 3)
                        if f"{spec.key}-{number}" not in taken)
            spec = replace(spec, key=name, serial=name)
        specs.append(spec)
    return specs


def safe_name(text: str) -> str:
    """`text` with what cannot be in a file name on every drive replaced by '_'."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:60]
    return name if SAFE_NAME.match(name) else "camera"


def _file(text: str, path: str) -> CameraSpec:
    """All after the first ':' is the path, commas and colons included."""
    if not path:
        raise _wrong(text, "the path is missing")
    name = safe_name(Path(path).stem)
    return CameraSpec(name, "file", name, {"path": path})


def _place_and_words(backend: str, rest: str) -> tuple[str, list[str]]:
    words = rest.split(",") if rest else []
    if backend == "synthetic" or not words:
        return "", words
    return words[0], words[1:]


def _options(text: str, words: Iterable[str]) -> dict[str, str]:
    """Options from `WIDTHxHEIGHT[@HZ]`, `@HZ`, a pixel format, or `key=value`."""
    options: dict[str, str] = {}
    for word in words:
        found = _option(word)
        if not found:
            raise _wrong(text, f"'{word}' is not WIDTHxHEIGHT[@HZ], a pixel format or KEY=VALUE")
        twice = found.keys() & options.keys()
        if twice:
            raise _wrong(text, f"{', '.join(sorted(twice))} is there twice")
        options |= found
    return options


def _option(word: str) -> dict[str, str]:
    if size := _SIZE.match(word):
        names = ("width", "height", "hz")
        return {name: value for name, value in zip(names, size.groups(), strict=True) if value}
    if rate := _RATE.match(word):
        return {"hz": rate.group(1)}
    if _FORMAT.match(word):
        return {"pixel_format": word.upper()}
    key, equals, value = word.partition("=")
    return {key: value} if equals and key and value else {}


def _wrong(text: str, reason: str) -> UsageError:
    return UsageError(f"camera '{text}': {reason}; expected for example {', '.join(EXAMPLES)}")
