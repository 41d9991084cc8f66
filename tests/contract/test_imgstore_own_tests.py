"""imgstore's own tests, as they are installed with it, run on fieldrec.store: only their imports
are changed, as a script's would be.

All but those of imgstore's private parts. With OpenCV from a wheel imgstore itself fails 38 of
them, which write H.264.
"""

from __future__ import annotations

from pathlib import Path

import imgstore.tests
import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword", "ignore:The 'verify_integrity'"),
]

_IMPORTS = {"from imgstore import stores": "from fieldrec.store import stores",
            "from imgstore.util import": "from fieldrec.store.util import",
            "import imgstore.util as": "import fieldrec.store.util as"}
_PRIVATE = ("test_index", "test_create_and_times")
"""The first looks into private attributes, the second needs pytz and fails on imgstore too."""


def _taken_over(name: str) -> str:
    source = Path(imgstore.tests.__file__).with_name(name).read_text(encoding="utf-8")
    for theirs, ours in _IMPORTS.items():
        source = source.replace(theirs, ours)
    return source


for _name in ("test_imgstore.py", "test_util.py"):
    exec(compile(_taken_over(_name), f"imgstore's {_name}", "exec"), globals())
for _name in _PRIVATE:
    del globals()[_name]
for _test in [value for name, value in globals().items() if name.startswith("test_")]:
    for _at, _mark in enumerate(getattr(_test, "pytestmark", ())):
        if _mark.name == "parametrize" and _mark.args[0] == "seek":  # no difference in ours
            _test.pytestmark[_at] = pytest.mark.parametrize("seek", [True]).mark


def test_they_were_taken_over() -> None:
    taken = [name for name in globals() if name.startswith("test_")]
    assert len(taken) > 20
    from fieldrec.store import stores

    assert globals()["stores"] is stores
