"""The two schemas of ASC MHL (tests/data/ascmhl): what histories have to be valid by.

Read from beside the tests, never from the network: libxml2 takes the manifest schema that the
combined one names first, and so does not follow the address in the chain's.
"""

from __future__ import annotations

import functools
from pathlib import Path

from lxml import etree

from fieldrec.mhl import CHAIN_NAME, FOLDER

SCHEMAS = Path(__file__).parent.parent / "data" / "ascmhl"


def faults(data: bytes, schema: str = "ASCMHL") -> list[str]:
    """What one schema has against a file; ASCMHLDirectory__combined is that of chains."""
    made = _schema(schema)
    return [] if made.validate(etree.fromstring(data)) else [str(one) for one in made.error_log]


def assert_valid(root: Path) -> int:
    """Every manifest and every chain below a folder, by whomever; how many manifests there are."""
    manifests = sorted(root.rglob(f"{FOLDER}/*.mhl"))
    chains = sorted(root.rglob(f"{FOLDER}/{CHAIN_NAME}"))
    found = {str(path): said for schema, paths in (
        ("ASCMHL", manifests), ("ASCMHLDirectory__combined", chains))
        for path in paths if (said := faults(path.read_bytes(), schema))}
    assert found == {}
    assert chains, f"no history in {root}"
    return len(manifests)


@functools.cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMAS / f"{name}.xsd", etree.XMLParser(no_network=True)))
