"""metadata.yaml of a store as pure functions between text and values: no file is opened here.

The ``__store`` mapping is imgstore's own, key by key; everything beside it is the user's. Any
thread.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import yaml

STORE_KEY = "__store"
METADATA_NAME = "metadata.yaml"
STORE_VERSION = 2

DIRECTORY_CLASS = "DirectoryImgStore"
VIDEO_CLASS = "VideoImgStore"
MOTIF_VIDEO_CLASS = "VideoImgStoreFFMPEG"
"""What Motif writes; read as a video store."""
MOVIE_CLASS = "Movie"
"""No store at all, but an exported movie that is read as one (store/movie); never written."""

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class StoreMetadata:
    """The ``__store`` mapping of a store, checked and in our types."""

    class_name: str
    """DIRECTORY_CLASS, VIDEO_CLASS, MOTIF_VIDEO_CLASS or MOVIE_CLASS."""
    format: str
    """"npy", "png", … of a directory; of a video any text ("avc1/mp4", "libx264")."""
    imgshape: tuple[int, ...]
    """Array shape (h, w) or (h, w, d) as stored, before `encoding` is decoded."""
    dtype: str
    """numpy's name of it; byte order is not kept by the format."""
    chunksize: int
    encoding: str | None
    """"cv_bayerbg", …: how the stored array becomes BGR; None when it is shown as it is."""
    extension: str
    """Of a video chunk's file, with the dot; "" for directories."""
    uuid: str | None
    created_utc: Any
    """As written: usually ISO text, a datetime where it was not quoted, None in old stores."""
    timezone_local: str | None
    raw: Mapping[str, Any]
    """The whole mapping, unknown keys included."""

    @property
    def is_video(self) -> bool:
        """Whether chunks are video files, not directories of frame files."""
        return self.class_name != DIRECTORY_CLASS

    @property
    def is_movie(self) -> bool:
        """Whether it is an exported movie."""
        return self.class_name == MOVIE_CLASS

    @property
    def is_colour(self) -> bool:
        """Whether stored frames have three channels (BGR)."""
        return len(self.imgshape) == 3 and self.imgshape[-1] == 3


def store_metadata(store: Mapping[str, Any]) -> StoreMetadata:
    """The mapping in our types. ValueError, naming the key, for what no reader could open."""
    try:
        class_name, form = str(store["class"]), str(store["format"])
        shape = tuple(int(extent) for extent in store["imgshape"])
        dtype = np.dtype(store["imgdtype"]).name
        chunksize = int(store["chunksize"])
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{STORE_KEY} cannot be understood: {error}") from error
    if class_name not in (DIRECTORY_CLASS, VIDEO_CLASS, MOTIF_VIDEO_CLASS):
        raise ValueError(f"{STORE_KEY}: class {class_name} is not known")
    if len(shape) < 2 or min(shape) < 1 or chunksize < 1:
        raise ValueError(f"{STORE_KEY}: imgshape {list(shape)} or chunksize {chunksize} is not "
                         "possible")
    video = class_name != DIRECTORY_CLASS
    zone, uuid = store.get("timezone_local"), store.get("uuid")
    return StoreMetadata(
        class_name=class_name, format=form, chunksize=chunksize, dtype=dtype,
        imgshape=_even_where_needed(shape, class_name, form) if video else shape,
        encoding=str(store["encoding"]) if store.get("encoding") else None,
        extension=video_extension(store) if video else "",
        uuid=None if uuid is None else str(uuid), created_utc=store.get("created_utc"),
        timezone_local=None if zone is None else str(zone), raw=store)


VIDEO_FORMATS = ("mjpeg/avi", "h264/mkv", "avc1/mp4")
"""The video formats that imgstore writes; `mjpeg` is an old name of the first."""


def video_extension(store: Mapping[str, Any]) -> str:
    """Extension of a video store's chunk files; old stores do not say it."""
    default = ".avi" if store.get("format") == "mjpeg" else ".mp4"
    return str(store.get("extension") or default)


def _even_where_needed(shape: tuple[int, ...], class_name: str, form: str) -> tuple[int, ...]:
    """Old stores claim odd sizes that their codecs cannot have: imgstore rounds those down."""
    by_motif = class_name == MOTIF_VIDEO_CLASS and ("264" in form or "nvenc-" in form)
    if form in (*VIDEO_FORMATS, "mjpeg") or by_motif:
        return (shape[0] & -2, shape[1] & -2, *shape[2:])
    return shape


def store_mapping(imgshape: tuple[int, ...], imgdtype: str, *, chunksize: int, timezone: str,
                  created_epoch_ns: int, uuid: str, class_name: str = DIRECTORY_CLASS,
                  form: str = "npy", encoding: str | None = None, extension: str = ""
                  ) -> dict[str, Any]:
    """The ``__store`` mapping of a new store, with the keys and types that imgstore writes.

    `extension` (".mp4", …) is for video stores only.
    """
    created = datetime.datetime(1970, 1, 1) + datetime.timedelta(
        microseconds=created_epoch_ns // 1000)
    mapping: dict[str, Any] = {
        "chunksize": int(chunksize),
        "class": class_name,
        "created_utc": created.isoformat(timespec="microseconds"),
        "encoding": encoding,
        "format": form,
        "imgdtype": np.dtype(imgdtype).name,
        "imgshape": [int(extent) for extent in imgshape],
        "timezone_local": timezone,
        "uuid": uuid,
        "version": STORE_VERSION,
    }
    if extension:
        mapping["extension"] = extension
    return mapping


def metadata_text(store: Mapping[str, Any], user: Mapping[str, Any]) -> str:
    """Text of metadata.yaml. ValueError, naming the key, for what YAML cannot carry safely."""
    if STORE_KEY in user:
        raise ValueError(f"the key {STORE_KEY} belongs to the store")
    content: dict[Any, Any] = {plain(key): _plain_value(key, value) for key, value in user.items()}
    content[STORE_KEY] = dict(store)
    text = str(yaml.safe_dump(content))
    parse_metadata(text)
    return text


def _plain_value(key: Any, value: Any) -> Any:
    try:
        return plain(value)
    except ValueError as error:
        raise ValueError(f"user metadata {key!r}: {error}") from error


def plain(value: Any) -> Any:
    """The value in types that YAML carries: numpy scalars, arrays, paths, enums and tuples turned
    into plain ones. ValueError for anything else."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return {plain(item) for item in value}
    if value is None or isinstance(value, bool | bytes | datetime.datetime | datetime.date):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)  # without what a subclass adds, which YAML does not know
    raise ValueError(f"a {type(value).__name__} cannot be stored; use text or numbers")


def parse_metadata(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(``__store`` mapping, user metadata) of a metadata.yaml. ValueError for anything else."""
    try:
        content = yaml.load(text, Loader=_SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get(STORE_KEY), dict):
        raise ValueError(f"no {STORE_KEY} mapping: cut short, or not an imgstore")
    store = content.pop(STORE_KEY)
    for key in ("imgshape", "imgdtype", "chunksize", "format", "class"):
        if key not in store:
            raise ValueError(f"{STORE_KEY} has no {key}")
    return store, content
