"""Extra data of a whole store: which files there are, their records, and all of it as one table.

Blocking; any thread; holds nothing open between calls. Reads what imgstore, Motif and fieldrec
wrote; of a chunk that is being written, or was when a crash came, its journal; of a file that a
crash cut off, the records before the cut. pandas is imported only for :func:`extra_table`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import motif
from fieldrec.store.api.imgstore_errors import ExtraDataDamaged, WrongArgument
from fieldrec.store.chunk_paths import ChunkPaths, find_chunks
from fieldrec.store.constants import EXTRA_DATA_FILE_EXTENSIONS
from fieldrec.store.extra_log import parse_lines
from fieldrec.store.metadata import StoreMetadata, store_metadata
from fieldrec.store.movie.movie import Movie, is_movie
from fieldrec.store.reader import read_metadata

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExtraFile:
    """One file of extra data."""

    path: Path
    by_motif: bool
    journal: Path | None = None
    """What counts while it has more records than the file, which then need not be there."""


def iter_extra_records(path: Path, *, ignore_corrupt: bool = False) -> Iterator[dict[str, Any]]:
    """Every record of the store at `path`, in the order of the chunks, as a dict of plain types.

    ExtraDataDamaged at a file that is not whole; with `ignore_corrupt` what can be read of it.
    Needs h5py for Motif's `.h5` files only.
    """
    if is_movie(path):
        yield from _of_movie(Movie(path), ignore_corrupt)
        return
    store, _ = read_metadata(path)
    for file in _with_journals(path, store_metadata(store)):
        yield from records_of(file, ignore_corrupt=ignore_corrupt)


def _of_movie(movie: Movie, ignore_corrupt: bool) -> Iterator[dict[str, Any]]:
    try:
        yield from movie.records()
    except StoreDamaged as error:
        if not ignore_corrupt:
            raise ExtraDataDamaged(str(error)) from error
        log.warning("%s", error)


def extra_files(root: Path, metadata: StoreMetadata,
                extensions: Collection[str] = EXTRA_DATA_FILE_EXTENSIONS) -> list[ExtraFile]:
    """The files of extra data, by chunk. Motif's stand for the chunk's own where both are there.
    None of a movie, whose sidecar holds them."""
    if metadata.is_movie:
        return []
    found: list[ExtraFile] = []
    for chunk in find_chunks(root, metadata):
        found += _files_of(chunk, extensions)
    return found


def has_extra_data(root: Path, metadata: StoreMetadata) -> bool:
    """Whether there is any, in whatever form."""
    if metadata.is_movie:
        return next(_of_movie(Movie(root), ignore_corrupt=True), None) is not None
    return bool(_with_journals(root, metadata))


def _with_journals(root: Path, metadata: StoreMetadata) -> list[ExtraFile]:
    """The files, and what lies in journals only."""
    found: list[ExtraFile] = []
    for chunk in find_chunks(root, metadata):
        files = _files_of(chunk, EXTRA_DATA_FILE_EXTENSIONS)
        if chunk.extra_log.exists() and not any(file.by_motif for file in files):
            files = [ExtraFile(chunk.extra, False, chunk.extra_log),
                     *(file for file in files if file.path != chunk.extra)]
        found += files
    return found


def _files_of(chunk: ChunkPaths, extensions: Collection[str]) -> list[ExtraFile]:
    for path, extension in zip(chunk.motif_extra(), (".extra_data.h5", ".extra_data.json"),
                               strict=True):
        if extension in extensions and path.exists():
            return [ExtraFile(path, True)]
    own = chunk.extra
    beside = own.with_name(own.name.removesuffix(".extra.json") + ".extra_data.json")
    return [ExtraFile(path, False) for path, extension in ((own, ".extra.json"),
                                                           (beside, ".extra_data.json"))
            if extension in extensions and path.exists()]


def records_of(file: ExtraFile, *, ignore_corrupt: bool = False) -> list[dict[str, Any]]:
    """The records of one file; errors as :func:`iter_extra_records`."""
    try:
        if file.by_motif:
            return list(motif.iter_motif_records(file.path))
        return own_records(file.path) if file.journal is None else _journalled(
            file.path, file.journal)
    except ExtraDataDamaged as error:
        if not ignore_corrupt:
            raise
        log.warning("%s", error)
        return [] if file.by_motif else _whole_records(_text(file.path))


def own_records(path: Path) -> list[dict[str, Any]]:
    """The records of one `.extra.json`. ExtraDataDamaged unless it is a whole list of records."""
    text = _text(path)
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        kept = len(_whole_records(text))
        raise ExtraDataDamaged(f"{path}: extra data is cut off or damaged after {kept} records "
                               f"({error}); recover the store, or ignore_corrupt_chunks") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ExtraDataDamaged(f"{path}: extra data is not a list of records")
    return records


def _journalled(path: Path, journal: Path) -> list[dict[str, Any]]:
    """The records of the file or of its journal, whichever has more."""
    try:
        lines = parse_lines(journal.read_bytes())
    except FileNotFoundError:  # its chunk was finished in this moment
        lines = []
    except OSError as error:
        raise ExtraDataDamaged(f"{journal}: {error.strerror}") from error
    known = own_records(path) if path.exists() else []
    return known if len(known) >= len(lines) else [json.loads(line) for line in lines]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ExtraDataDamaged(f"{path}: {error.strerror}") from error


def _whole_records(text: str) -> list[dict[str, Any]]:
    """The records before the place where a list of them was cut off."""
    records: list[dict[str, Any]] = []
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            record, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        records.append(record)
        at = text.find("{", end)
    return records


# --- as a table ---------------------------------------------------------------------------------

def extra_table(root: Path, metadata: StoreMetadata, *, ignore_corrupt: bool = False
                ) -> pd.DataFrame | None:
    """All extra data as one table, as imgstore's get_extra_data gives it; None where there is none.

    ExtraDataDamaged as above. PackageMissing without pandas, or h5py where a file needs it.
    """
    if metadata.is_movie:
        return _movie_table(Movie(root), ignore_corrupt)
    files = _with_journals(root, metadata)
    if not files:
        return None
    pandas = motif.optional("pandas", "pandas")
    tables = [table for file in files
              if (table := _table_of(file, pandas, ignore_corrupt)) is not None]
    whole = [table for table in tables if not table.empty] or tables[:1]
    return pandas.concat(whole, axis=0, ignore_index=True) if whole else None


def _movie_table(movie: Movie, ignore_corrupt: bool) -> pd.DataFrame | None:
    records = [_with_nan(record) for record in _of_movie(movie, ignore_corrupt)]
    return motif.optional("pandas", "pandas").DataFrame(records) if records else None


def _table_of(file: ExtraFile, pandas: Any, ignore_corrupt: bool) -> pd.DataFrame | None:
    if not file.by_motif:
        records = records_of(file, ignore_corrupt=ignore_corrupt)
        return pandas.DataFrame([_with_nan(record) for record in records])
    try:
        if file.path.suffix == ".h5":
            table: pd.DataFrame | None = motif.motif_extra_data_h5_to_df(None, file.path)
        else:
            table = motif.motif_extra_data_json_to_df(None, file.path)
    except ExtraDataDamaged as error:
        if not ignore_corrupt:
            raise
        log.warning("%s", error)
        return None
    if table is None or table.empty:
        log.warning("%s: extra data is empty", file.path)
        return None
    return table


def _with_nan(record: dict[str, Any]) -> dict[str, Any]:
    """Before the first frame there is no number or time: NaN in imgstore's tables."""
    for key in ("frame_time", "frame_number"):
        if record.get(key, 0) is None:
            record[key] = math.nan
    return record


def samplerate(root: Path, metadata: StoreMetadata) -> Any:
    """Samples per second of Motif's `.h5` files. ValueError where they do not tell one rate."""
    for file in extra_files(root, metadata, (".extra_data.h5",)):
        attributes = motif.motif_extra_data_h5_attrs(file.path)
        datasets = attributes["_datasets"]
        if len(datasets) > 1:
            raise WrongArgument(f"{file.path}: has {len(datasets)} datasets with rates of their "
                                "own; see motif_extra_data_h5_attrs")
        if datasets and "samplerate" in attributes.get(datasets[0], {}):
            return attributes[datasets[0]]["samplerate"]
    raise WrongArgument(f"{root}: no extra data of Motif that has a sample rate")
