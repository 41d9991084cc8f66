"""Floor 2: the imgstore format, written, read and mended; and imgstore's own interface to it.

A script written for imgstore runs on this package::

    import fieldrec.store as imgstore
    from fieldrec.store import new_for_filename

Every call blocks. The names below are loaded when they are first used, so that importing a part of
this package (`fieldrec.store.layout`) costs that part only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldrec.store.align import StoreAligner, generate_timecodes
    from fieldrec.store.apps import main_test as test
    from fieldrec.store.colour import ensure_color, ensure_grayscale
    from fieldrec.store.constants import (
        EXTRA_DATA_FILE_EXTENSIONS,
        FRAME_MD,
        STORE_INDEX_FILENAME,
        STORE_LOCK_FILENAME,
        STORE_MD_FILENAME,
        STORE_MD_KEY,
    )
    from fieldrec.store.extra_read import iter_extra_records
    from fieldrec.store.index import ImgStoreIndex
    from fieldrec.store.motif import motif_get_parse_true_fps, motif_get_recording_timezone
    from fieldrec.store.stores import (
        DirectoryImgStore,
        ImgStore,
        VideoImgStore,
        extract_only_frame,
        get_supported_formats,
        new_for_filename,
        new_for_format,
    )

__all__ = [
    "EXTRA_DATA_FILE_EXTENSIONS",
    "FRAME_MD",
    "STORE_INDEX_FILENAME",
    "STORE_LOCK_FILENAME",
    "STORE_MD_FILENAME",
    "STORE_MD_KEY",
    "DirectoryImgStore",
    "ImgStore",
    "ImgStoreIndex",
    "StoreAligner",
    "VideoImgStore",
    "ensure_color",
    "ensure_grayscale",
    "extract_only_frame",
    "generate_timecodes",
    "get_supported_formats",
    "iter_extra_records",
    "motif_get_parse_true_fps",
    "motif_get_recording_timezone",
    "new_for_filename",
    "new_for_format",
    "test",
]

_WHERE = {
    "align": ("StoreAligner", "generate_timecodes"),
    "apps": ("test",),
    "colour": ("ensure_color", "ensure_grayscale"),
    "constants": ("EXTRA_DATA_FILE_EXTENSIONS", "FRAME_MD", "STORE_INDEX_FILENAME",
                  "STORE_LOCK_FILENAME", "STORE_MD_FILENAME", "STORE_MD_KEY"),
    "extra_read": ("iter_extra_records",),
    "index": ("ImgStoreIndex",),
    "motif": ("motif_get_parse_true_fps", "motif_get_recording_timezone"),
    "stores": ("DirectoryImgStore", "ImgStore", "VideoImgStore", "extract_only_frame",
               "get_supported_formats", "new_for_filename", "new_for_format"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
_SUBMODULES = frozenset({"align", "apps", "constants", "index", "stores", "util"})
"""Those that `import imgstore` brings along, so that `imgstore.stores.…` works."""


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULE_OF[name]}")
    found = getattr(module, "main_test" if name == "test" else name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
