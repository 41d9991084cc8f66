"""The names that imgstore's users import from `imgstore.constants`; no code."""

from __future__ import annotations

from fieldrec.store.layout import LOCK_NAME
from fieldrec.store.metadata import METADATA_NAME, STORE_KEY

STORE_MD_KEY = STORE_KEY
STORE_MD_FILENAME = METADATA_NAME
STORE_LOCK_FILENAME = LOCK_NAME
STORE_INDEX_FILENAME = ".index.sqlite"

EXTRA_DATA_FILE_EXTENSIONS = (".extra.json", ".extra_data.json", ".extra_data.h5")

FRAME_MD = ("frame_number", "frame_time")
