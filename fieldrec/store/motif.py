"""What loopbio's Motif leaves in a store beside the frames: its extra data (HDF5 or JSON, in files
beside the chunks) and the settings of the recording in the user's metadata.

Blocking; any thread; holds nothing open between calls. h5py and pandas are imported when a file
needs them, and named when they are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from fieldrec.store.api.imgstore_errors import ExtraDataDamaged, PackageMissing
from fieldrec.store.created import zone_of

if TYPE_CHECKING:
    import datetime

    import pandas as pd


class StoreLike(Protocol):
    """What these functions ask of a store object."""

    @property
    def user_metadata(self) -> Mapping[str, Any]:
        """The user's part of metadata.yaml."""
        ...

    @property
    def created(self) -> tuple[datetime.datetime, datetime.tzinfo]:
        """(UTC time, zone of the recording)."""
        ...

    def get_frame_metadata(self) -> dict[str, list[Any]]:
        """Numbers and times of all frames."""
        ...


# --- settings of the recording ------------------------------------------------------------------

def motif_get_parse_true_fps(store: StoreLike, default: float | None = 25.0,
                             hwardware_only: bool = False) -> float | None:
    """Frames per second that the recording's settings tell: of the hardware trigger, the PTP clock
    or (unless `hwardware_only`) the camera, in this order.

    `default` where they tell nothing; None asks for what the frame times of the store say.
    """
    user = store.user_metadata
    for key in ("hwframerate", "motifptpframerate"):
        if key in user:
            return float(user[key])
    if (not hwardware_only and user.get("acquisitionframerate")
            and user.get("acquisitionframerateenable", False) is True):
        return float(user["acquisitionframerate"])
    if default is not None:
        return default
    times_s = np.asarray(store.get_frame_metadata()["frame_time"], np.float64)
    return 1.0 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else None


def motif_get_recording_timezone(store: StoreLike) -> datetime.tzinfo:
    """The zone that the user's metadata names as `timezone`, else the store's own."""
    named: ZoneInfo | None = zone_of((store.user_metadata or {}).get("timezone"))
    return named or store.created[1]


# --- extra data ---------------------------------------------------------------------------------

def motif_extra_data_json_to_df(store: object, path: str | Path  # noqa: ARG001 as imgstore's
                                ) -> pd.DataFrame | None:
    """One of Motif's JSON files as a table, rows by frame index and sensor time; None without
    rows. `store` is not used."""
    pandas = optional("pandas", "pandas")
    rows = pandas.DataFrame(_json_rows(Path(path)))
    if not rows.empty:
        rows = rows[rows["frame_number"] >= 0]
    if rows.empty:
        return None
    by = ["frame_index", "sensor_time"] if "sensor_time" in rows.columns else ["frame_index"]
    return rows.sort_values(by=by, ignore_index=True)


def motif_extra_data_h5_to_df(store: object, path: str | Path  # noqa: ARG001 as imgstore's
                              ) -> pd.DataFrame:
    """One of Motif's HDF5 files as a table, a row per sample that was recorded. `store` is not
    used."""
    pandas = optional("pandas", "pandas")
    return pandas.DataFrame(_h5_columns(Path(path)))


def motif_extra_data_h5_attrs(path: str | Path) -> dict[str, Any]:
    """The attributes of every dataset of the file by its name, and as `_datasets` their list."""
    return _read_h5(Path(path), _attributes)


def iter_motif_records(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one of Motif's files, in plain Python types, in the order of their frames."""
    if path.suffix == ".h5":
        columns = _h5_columns(path)
        lists = {name: values.tolist() for name, values in columns.items()}
        for values in zip(*lists.values(), strict=True):
            yield dict(zip(lists, values, strict=True))
        return
    rows = [row for row in _json_rows(path) if (row.get("frame_number") or 0) >= 0]
    yield from sorted(rows, key=lambda row: (row.get("frame_index") or 0,
                                             row.get("sensor_time") or 0))


def optional(name: str, extra: str) -> Any:
    """An optional package. PackageMissing, saying how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise PackageMissing(f"this needs {name}: pip install 'fieldrec[{extra}]'") from error


def _json_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ExtraDataDamaged(f"{path}: extra data cannot be read: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ExtraDataDamaged(f"{path}: extra data is not a list of records")
    return rows


def _h5_columns(path: Path) -> dict[str, NDArray[Any]]:
    return _read_h5(path, _columns)


def _read_h5(path: Path, take: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    h5py = optional("h5py", "motif")
    try:
        with h5py.File(path, "r") as file:
            return take(file)
    except (OSError, KeyError, ValueError, IndexError, RuntimeError, AttributeError) as error:
        raise ExtraDataDamaged(f"{path}: extra data cannot be read: {error}") from error


def _names(attribute: Any) -> list[str]:
    """The comma list in an attribute: bytes or text, by the version of h5py that wrote it."""
    text = attribute.decode("ascii") if isinstance(attribute, bytes) else str(attribute)
    return [name.strip() for name in text.split(",")]


def _columns(file: Any) -> dict[str, NDArray[Any]]:
    """Every column of the samples that were recorded: files are allocated for a whole chunk, what
    was not used has a frame number below zero."""
    camera = np.asarray(file["camera"])
    used = camera["frame_number"] >= 0
    columns: dict[str, NDArray[Any]] = {}
    for name in _names(file.attrs["datasets"]):
        values = file[name][...][..., used]
        columns.update(zip(_names(file[name].attrs["column_names"]), values, strict=True))
    columns.update({name: camera[name][used] for name in camera.dtype.names or ()})
    columns["sample_delay"] = np.asarray(file["sample_delay"])[used]
    return columns


def _attributes(file: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {"_datasets": _names(file.attrs["datasets"])}
    attributes.update({str(name): dict(file[name].attrs) for name in file})
    return attributes
