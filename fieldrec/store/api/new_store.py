"""What a store is to be, decided before anything of it is on disk: format, encoding, metadata.

Pure; any thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fieldrec import __version__
from fieldrec.core.errors import StoreError
from fieldrec.core.model import FrameSpec
from fieldrec.store import encodings
from fieldrec.store.frame_files import COLOUR_SUFFIX, directory_formats, stored_format
from fieldrec.store.metadata import (
    DIRECTORY_CLASS,
    VIDEO_CLASS,
    VIDEO_FORMATS,
    StoreMetadata,
    store_mapping,
    store_metadata,
)
from fieldrec.store.video.packet_form import packet_form


@dataclass(frozen=True, slots=True)
class NewStore:
    """A store that could be made."""

    store: Mapping[str, Any]
    """The ``__store`` mapping."""
    metadata: StoreMetadata
    """The same as its readers will see it."""
    decode_as: str | None
    """What frames are decoded from before they are stored; None when they are stored as given."""


def new_store(path: Path, spec: FrameSpec, *, chunksize: int, timezone: str, created_epoch_ns: int,
              form: str = "npy", encoding: str | None = None) -> NewStore:
    """A store of this format ("npy", "png+color", "avc1/mp4" …) for frames like `spec`.

    StoreError, with `path` in it, when there can be no such store.
    """
    if form == "mjpeg":
        form = VIDEO_FORMATS[0]
    decode_as: str | None = None
    shape = spec.shape
    if form.endswith(COLOUR_SUFFIX) and encoding:
        decode_as, encoding = encoding, None
        shape = encodings.decoded_shape(shape, decode_as)
    video = form in VIDEO_FORMATS
    try:
        _check(chunksize, timezone, form, encoding or decode_as)
        if video:  # as the codecs need it, and as imgstore's readers expect it
            shape = (shape[0] & -2, shape[1] & -2, *shape[2:])
        store = store_mapping(
            shape, spec.dtype, chunksize=chunksize, timezone=timezone,
            created_epoch_ns=created_epoch_ns, uuid=uuid.uuid4().hex, encoding=encoding or None,
            form=form if video else stored_format(form),
            class_name=VIDEO_CLASS if video else DIRECTORY_CLASS,
            extension="." + form.partition("/")[2] if video else "")
        return NewStore(store, store_metadata(store), decode_as)
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise StoreError(f"{path}: {error}") from error


def _check(chunksize: int, timezone: str, form: str, encoding: str | None) -> None:
    """ValueError for what no reader could open."""
    if chunksize < 1:
        raise ValueError(f"chunksize {chunksize} must be at least 1")
    known = (*directory_formats(), *VIDEO_FORMATS)
    if form not in known:
        raise ValueError(f"format {form!r} cannot be written; known are {', '.join(known)}")
    if encoding:
        encodings.check(encoding)
    ZoneInfo(timezone)


def recording_metadata(user: Mapping[str, Any], spec: FrameSpec, timezone: str) -> dict[str, Any]:
    """The user's metadata of a recording, with the keys that loopbio's tools and ours look for;
    those are not the user's to set.

    The writer keeps the ``fieldrec`` mapping up to date: `interrupted` is true until it closes the
    store, for a crash cannot write it.
    """
    known: dict[str, Any] = {"timezone": timezone, "acquisitionframerate": spec.nominal_hz,
                             "acquisitionframerateenable": True}
    given = user.get("fieldrec")
    coded = packet_form(spec.pixel_format) is not None
    ours = {"version": __version__, "pixel_format": "BGR8" if coded else spec.pixel_format,
            **({"packets": spec.pixel_format} if coded else {}),
            "nominal_hz": spec.nominal_hz, "dropped": 0, "lost": 0,
            **(given if isinstance(given, Mapping) else {}), "interrupted": True}
    return {**user, **known, "fieldrec": ours}


def closed_metadata(user: Mapping[str, Any], closing: Mapping[str, Any], *, lost: int,
                    extra_data_lost: int) -> Mapping[str, Any]:
    """User metadata of a store that is closed in order, with what there is to say in the end.
    Metadata that have no ``fieldrec`` mapping stay as they were given when that is nothing.

    `lost`: frames that the writer gave up, beside those that `closing` or `user` tell of.
    """
    ours = user.get("fieldrec")
    told = dict(closing)
    if lost:
        known = told if "lost" in told or not isinstance(ours, Mapping) else ours
        told["lost"] = int(known.get("lost", 0)) + lost
    if extra_data_lost:
        told["extra_data_lost"] = extra_data_lost
    if isinstance(ours, Mapping):
        told = {**ours, **told, "interrupted": False}
    return {**user, "fieldrec": told} if told else user
