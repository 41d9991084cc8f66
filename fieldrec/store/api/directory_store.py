"""DirectoryImgStore: a store object whose frames are files of their own.

Blocking; one thread at a time, as all store objects.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.api.imgstore_errors import StoreUnreadable, WrongArgument
from fieldrec.store.api.only_frame import only_frame
from fieldrec.store.api.store_writing import StoreWriting
from fieldrec.store.frame_files import directory_formats
from fieldrec.store.metadata import DIRECTORY_CLASS, StoreMetadata


class DirectoryImgStore(ImgStore):
    """A directory per chunk, a file per frame."""

    _DEFAULT_CHUNKSIZE: ClassVar[int] = 200
    _IGNORED: ClassVar[frozenset[str]] = ImgStore._IGNORED | {"videosize"}

    def _open_to_write(self, **options: Any) -> StoreWriting:
        options.setdefault("chunksize", self._DEFAULT_CHUNKSIZE)
        form = options.get("format")
        if form is not None and form not in self.supported_formats():
            raise WrongArgument(f"format {form!r} is not known for frame files; known are "
                                f"{', '.join(self.supported_formats())}")
        return super()._open_to_write(**options)

    def _check_class(self, metadata: StoreMetadata) -> None:
        if metadata.class_name != DIRECTORY_CLASS:
            raise StoreUnreadable(f"{self._basedir}: is a {metadata.class_name}, not a "
                                  f"{DIRECTORY_CLASS}")

    @classmethod
    def supported_formats(cls) -> list[str]:
        """Formats of frame files that can be written on this machine."""
        return list(directory_formats())

    @classmethod
    def extract_only_frame(cls, full_path: Any, frame_index: Any, _smd: object = None) -> Any:
        """As :func:`stores.extract_only_frame`; `full_path` is the store's metadata.yaml."""
        return only_frame(full_path, frame_index)

    @property
    def lossless(self) -> bool:
        """Whether images are read just as they were written."""
        return self._half.metadata.format != "jpg"
