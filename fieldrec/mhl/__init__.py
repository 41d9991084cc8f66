"""Floor 2: ASC MHL 1.0, the film industry's record of which files there are and of what digest.

A data set has a folder ``ascmhl/`` with manifests, one for each generation (copy, verification),
and a chain that lists them with their C4. Bytes and values; what reads from a medium says so. What
comes back from a medium may be anybody's: everything in it is checked (parsing.py).
"""

from __future__ import annotations

import os

FOLDER = "ascmhl"
CHAIN_NAME = "ascmhl_chain.xml"
EXTENSION = ".mhl"
TRANSFER = "transfer"
"""Process of a generation that was written when source and destination were known to be the same
(section 6.4.6 of the specification): after everything was read back."""
IN_PLACE = "in-place"
LARGEST_MANIFEST = 512 * 1024 * 1024
"""Bytes: some two million files."""
MANIFEST_LIMIT = min(LARGEST_MANIFEST,
                     os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
"""Of a manifest that is held in memory: it may be on anybody's drive, and must not cost the
recorder its own. Callers who know better say less, or more."""
CHAIN_LIMIT = 1024 * 1024
"""The same of a chain: some four thousand generations."""
DEFAULT_IGNORED = (".DS_Store", "ascmhl", "ascmhl/")
"""What the reference implementation leaves out, too."""
