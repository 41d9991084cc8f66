"""What a store object is to its users: the members of imgstore's, and a few of our own.

A store is open either for reading or for writing; each half does its own work (store_reading,
store_writing), here they get imgstore's names, arguments and errors. Blocking for the disk; one
thread at a time. A store that is forgotten is closed when it is collected, one for writing at the
latest when Python ends.
"""

from __future__ import annotations

import datetime
import os
import weakref
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

from numpy.typing import NDArray

from fieldrec.store import extra_read
from fieldrec.store.api.imgstore_errors import (
    NoMetadataFile,
    NotReadable,
    NotWritable,
    WrongArgument,
    WrongType,
)
from fieldrec.store.api.reindexing import reindex
from fieldrec.store.api.sqlite_index import Frames
from fieldrec.store.api.store_reading import Image, Images, StoreReading, open_reader
from fieldrec.store.api.store_writing import StoreWriting, close_forgotten, open_writing
from fieldrec.store.constants import (
    EXTRA_DATA_FILE_EXTENSIONS,
    FRAME_MD,
    STORE_INDEX_FILENAME,
    STORE_MD_FILENAME,
)
from fieldrec.store.created import created
from fieldrec.store.index import ImgStoreIndex, frame_metadata
from fieldrec.store.metadata import StoreMetadata

if TYPE_CHECKING:
    import pandas as pd

    from fieldrec.store.reader import StoreReader

Self = TypeVar("Self", bound="ImgStore")
_IGNORED = frozenset({"gpu_id", "seek"})
"""What imgstore takes for its own decoders: ours finds every frame exactly without."""


class ImgStore:
    """One store, open in `mode` 'r' or 'w'; what both kinds of store have in common."""

    FRAME_MD: ClassVar[tuple[str, str]] = FRAME_MD
    _IGNORED: ClassVar[frozenset[str]] = _IGNORED
    _DEFAULT_CHUNKSIZE: ClassVar[int]

    def __init__(self, **kwargs: Any) -> None:
        """`basedir` and `mode`; to write `format`, `imgshape`, `imgdtype`, `chunksize`, `metadata`,
        `encoding`, and `durability_s`: a frame outlives a power cut that much later, None leaves it
        to the kernel. To read `mapped` (npy frames as read-only arrays over their files, not
        verified), `skip_damaged` (going from image to image passes over what cannot be read) and
        `verify` (compare each frame with its digest, where there are digests: the default).

        Errors as imgstore's; StoreExists where there is a store to write already.
        """
        options = {key: value for key, value in kwargs.items() if key not in self._IGNORED}
        self._mode: str = options.pop("mode") if "mode" in options else _missing_mode()
        if "basedir" not in options:
            raise WrongType("basedir is missing: the directory of the store")
        self._basedir = os.fsdecode(options.pop("basedir"))
        self._path = Path(self._basedir).absolute()
        self._reading: StoreReading | None = None
        self._writing: StoreWriting | None = None
        self._forgotten: weakref.finalize[Any, Any]
        if self._mode == "r":
            self._reading = self._open_to_read(**options)
            self._forgotten = weakref.finalize(self, self._reading.close)
            self._forgotten.atexit = False
        elif self._mode == "w":
            self._writing = self._open_to_write(**options)
            self._forgotten = weakref.finalize(self, close_forgotten, self._writing)
        else:
            raise WrongArgument(f"mode {self._mode!r} is neither 'r' nor 'w'")

    def _open_to_read(self, *, index: object = None, mapped: bool = False,
                      skip_damaged: bool = False, verify: bool = True,
                      reader: StoreReader | None = None, **for_writing: Any) -> StoreReading:
        _refuse_unknown(for_writing)
        if index is not None and not isinstance(index, ImgStoreIndex):
            raise WrongType("index is not an ImgStoreIndex; leave it out, opening is fast without")
        if reader is None:
            if not (self._path / STORE_MD_FILENAME).exists():
                raise NoMetadataFile(f"{self.full_path}: there is no such file")
            reader = open_reader(self._path, verify=verify)
        self._check_class(reader.metadata)
        return StoreReading(reader, mapped=mapped, skip_damaged=skip_damaged, verify=verify)

    def _check_class(self, metadata: StoreMetadata) -> None:
        raise NotImplementedError

    def _open_to_write(self, **options: Any) -> StoreWriting:
        return open_writing(self._path, **options)

    @classmethod
    def supported_formats(cls) -> list[str]:
        """Formats in which such a store can be written on this machine."""
        raise NotImplementedError

    @classmethod
    def supports_format(cls, fmt: str) -> bool:
        """Whether such a store can be written in this format."""
        return fmt in cls.supported_formats()

    # --- both halves ----------------------------------------------------------------------------

    @property
    def _half(self) -> StoreReading | StoreWriting:
        half = self._reading or self._writing
        if half is None:
            raise NotReadable(f"{self._basedir}: was not opened")
        return half

    def _to_read(self) -> StoreReading:
        if self._reading is None:
            raise NotReadable(f"{self._basedir}: is open for writing; read it with "
                              "new_for_filename")
        return self._reading

    def _to_write(self) -> StoreWriting:
        if self._writing is None:
            raise NotWritable(f"{self._basedir}: is open for reading; write with new_for_format")
        return self._writing

    @property
    def mode(self) -> str:
        """'r' or 'w'."""
        return self._mode

    @property
    def filename(self) -> str:
        """The store's directory, as it was given."""
        return self._basedir

    @property
    def full_path(self) -> str:
        """The store's metadata.yaml."""
        return os.path.join(self._basedir, STORE_MD_FILENAME)  # noqa: PTH118 as it was given

    @property
    def user_metadata(self) -> dict[Any, Any]:
        """What the user had stored with the recording."""
        return self._half.user_metadata

    @property
    def uuid(self) -> str | None:
        """32 hex digits; None in old stores."""
        return self._half.metadata.uuid

    @property
    def created(self) -> tuple[datetime.datetime, ZoneInfo]:
        """(time of creation, in UTC; the recording's time zone)."""
        return created(self._path, self._half.metadata, self._half.user_metadata)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Array shape of an image as it is read: of BGR where there is an encoding."""
        return self._half.image_shape

    @property
    def lossless(self) -> bool:
        """Whether images are read just as they were written."""
        raise NotImplementedError

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        return self._half.frame_count

    def __len__(self) -> int:
        return self._half.frame_count

    @property
    def frame_min(self) -> float:
        """The smallest frame number; NaN without frames."""
        return self._half.frame_min

    @property
    def frame_max(self) -> float:
        """The largest frame number; NaN without frames."""
        return self._half.frame_max

    @property
    def frame_number(self) -> Any:
        """Of the frame read or written last; NaN before."""
        return self._half.frame_number

    @property
    def frame_time(self) -> Any:
        """Of the frame written last; NaN before, and when reading."""
        return self._half.frame_time

    @property
    def frame_time_min(self) -> float:
        """The earliest frame time (writing: the first) in seconds since 1970."""
        return self._half.frame_time_min

    @property
    def frame_time_max(self) -> float:
        """The latest frame time (writing: the last) in seconds since 1970."""
        return self._half.frame_time_max

    @property
    def duration(self) -> float:
        """Seconds between the two; 0.0 without frames."""
        return self._half.frame_time_max - self._half.frame_time_min

    @property
    def chunks(self) -> list[int]:
        """Numbers of the chunks that have frames (writing: of those that are finished)."""
        return self._half.chunks

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each thing that was found missing or damaged: what, where, what to do."""
        return self._half.problems

    def convert_frame_time_to_datetime(self, frame_time: float,
                                       tz: datetime.tzinfo | None = None) -> datetime.datetime:
        """A frame time as a moment in `tz`, else in the recording's time zone."""
        return datetime.datetime.fromtimestamp(frame_time, tz or self.created[1])

    # --- reading --------------------------------------------------------------------------------

    def get_image(self, frame_number: Any, exact_only: bool = True, frame_index: Any = None, *,
                  out: NDArray[Any] | None = None) -> Image:
        """(image, (number, time s)) of the first frame of this number, or of the nearest to it
        unless `exact_only`, or of the frame at `frame_index` where that is given.

        `out`: an array of the image's shape and type to read into. NoSuchFrame (a ValueError),
        FrameDamaged (an OSError and a ValueError).
        """
        return self._to_read().get_image(frame_number, exact_only, frame_index, out)

    def get_nearest_image(self, frame_time: Any, *, out: NDArray[Any] | None = None) -> Image:
        """The same of the frame whose time is nearest."""
        return self._to_read().get_nearest_image(frame_time, out)

    def get_next_image(self, *, out: NDArray[Any] | None = None) -> Image:
        """The same of the frame behind the last one read; at first of the first. EOFError at the
        end. After FrameDamaged the next call gives the frame behind the damaged one."""
        return self._to_read().get_next_image(out)

    def get_next_framenumber(self) -> int:
        """The number of that frame; EOFError at the end."""
        return self._to_read().next_number()

    def __iter__(self) -> Iterator[Image]:
        """All images from the first, each as get_image gives it; the place in the store stays."""
        return Images(self._to_read(), self)

    def get_frame_metadata(self) -> dict[str, list[Any]]:
        """{'frame_number': […], 'frame_time': […]} of all frames, as stored."""
        index = self._to_read().index
        return frame_metadata(index.numbers, index.times_s)

    def _get_chunk_metadata(self, chunk_n: int) -> dict[str, list[Any]]:
        return self._index.get_chunk_metadata(chunk_n)

    @property
    def _index(self) -> ImgStoreIndex:
        """What imgstore keeps under this name, which some scripts look into."""
        index = self._to_read().index
        chunks = tuple(chunk.number for chunk in index.chunks)
        paths = [str(chunk.index.with_suffix("")) for chunk in index.chunks]
        return ImgStoreIndex(Frames(index.numbers, index.times_s, chunks, index.starts), paths)

    def disable_decoding(self) -> None:
        """Give images as they are stored from now on: mosaics, not BGR."""
        if self._reading is not None:
            self._reading.disable_decoding()

    def refresh(self) -> int:
        """Look at the disk again, where a writer may have added frames; how many more there are.
        The place in the store stays."""
        return self._to_read().refresh()

    def save_index(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write imgstore's SQLite index (`.index.sqlite`), which fieldrec does not need. No effect
        on a store that is being written."""
        if self._reading is not None:
            self._index.to_file(Path(path) if path else self._path / STORE_INDEX_FILENAME)

    def reindex(self) -> None:
        """Make all frame numbers before the only frame 0 negative, on disk: -n … -1, 0 stays; of
        extra data too. What they were is kept as `_frame_number_before_reindex`.

        ValueError unless just one frame has the number 0; StoreBusy while the store is written.
        """
        reading = self._to_read()
        reindex(self._path, reading.metadata, reading.index)
        reading.refresh()

    # --- extra data -----------------------------------------------------------------------------

    @property
    def has_extra_data(self) -> bool:
        """Whether there is extra data."""
        return extra_read.has_extra_data(self._path, self._extra_metadata())

    def find_extra_data_files(self, extensions: Collection[str] = EXTRA_DATA_FILE_EXTENSIONS
                              ) -> list[str]:
        """The files of extra data, by chunk."""
        found = extra_read.extra_files(self._path, self._half.metadata, extensions)
        given = Path(self._basedir)
        return [str(given / file.path.relative_to(self._path)) for file in found]

    def get_extra_data(self, ignore_corrupt_chunks: bool = False) -> pd.DataFrame | None:
        """All extra data as one table (needs pandas); None where there is none. ExtraDataDamaged
        (a ValueError) at a file that is not whole; with `ignore_corrupt_chunks` what is left."""
        return extra_read.extra_table(self._path, self._extra_metadata(),
                                      ignore_corrupt=ignore_corrupt_chunks)

    def _extra_metadata(self) -> StoreMetadata:
        if self._writing is not None:
            self._writing.show_extra_data()
        return self._half.metadata

    def get_extra_data_samplerate(self) -> Any:
        """Samples per second of Motif's extra data; ValueError where there is no one rate."""
        return extra_read.samplerate(self._path, self._half.metadata)

    # --- writing --------------------------------------------------------------------------------

    def add_image(self, img: Any, frame_number: Any, frame_time: Any) -> None:
        """Store one image (an array of the store's shape and type) under a number and a time in
        seconds since 1970.

        On any error it is not in the store, which can go on: WrongType, WrongArgument and
        FrameRefused for what cannot be stored, DiskFull and WriteFailed (OSErrors).
        """
        self._to_write().add_image(img, frame_number, frame_time)

    def add_extra_data(self, **data: Any) -> None:
        """Keep these values beside the frame written last. Does not block for the disk, and never
        fails for a value."""
        if data:
            self._to_write().add_extra_data(data)

    def empty(self) -> None:
        """Remove all that was stored so far and begin anew, with the same metadata."""
        if self._writing is None:
            raise NotWritable(f"{self._basedir}: only stores open for writing can be emptied")
        self._writing.empty()

    def close(self, save_index: bool = False) -> None:
        """Complete the store, or let go of what is open for reading. Idempotent.

        `save_index`: write imgstore's SQLite index too. WriteFailed, DiskFull: the store is left
        as after a crash, for `fieldrec recover`.
        """
        if self._writing is None:
            self._to_read().close()
            return
        self._writing.close()
        self._forgotten.detach()
        if save_index:
            with type(self)(basedir=self._basedir, mode="r") as written:
                written.save_index()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._basedir!r} mode {self._mode!r}>"


def _missing_mode() -> str:
    raise KeyError("mode")


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """What is for writing only is taken and not looked at, as by imgstore."""
    known = {"imgshape", "imgdtype", "chunksize", "metadata", "encoding", "format",
             "durability_s", "write_encode_encoding"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise WrongType(f"unknown argument {unknown[0]!r}")
