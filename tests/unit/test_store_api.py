"""The package's names: loaded when used, and nothing heavy with them; and imgstore's own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fieldrec.store as store_api
from tests.fakes.waiting import PATIENCE_S

HEAVY = ("cv2", "av", "pandas", "h5py", "imgstore")


def loaded_after(code: str) -> set[str]:
    """Which modules a fresh Python has loaded after this code."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              check=True, timeout=PATIENCE_S).stdout.split())


def test_a_part_costs_that_part_only() -> None:
    loaded = loaded_after("import fieldrec.store.metadata")
    assert "fieldrec.store.stores" not in loaded
    assert not loaded & set(HEAVY)


def test_the_whole_interface_loads_nothing_heavy() -> None:
    loaded = loaded_after("import fieldrec.store as s\n[getattr(s, name) for name in s.__all__]\n"
                          "s.util, s.index, s.align, s.apps, s.constants")
    assert "fieldrec.store.stores" in loaded
    assert not loaded & set(HEAVY)


def test_an_npy_store_needs_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_after(f"""
import numpy, fieldrec.store as s
with s.new_for_format("npy", {str(tmp_path / 's')!r}, imgshape=(4, 4)) as store:
    store.add_image(numpy.zeros((4, 4), "uint8"), 1, 1.0)
    store.add_extra_data(a=1)
with s.new_for_filename({str(tmp_path / 's')!r}) as store:
    store.get_next_image(), store.user_metadata, store.created, store.has_extra_data
""")
    assert not loaded & set(HEAVY)


def test_every_name_is_there_and_no_other() -> None:
    for name in store_api.__all__:
        assert getattr(store_api, name) is not None
        assert name in dir(store_api)
    with pytest.raises(AttributeError):
        store_api.nonsense  # noqa: B018
    from fieldrec.store import DirectoryImgStore, new_for_filename, stores

    assert new_for_filename is stores.new_for_filename
    assert isinstance(DirectoryImgStore, type)


def test_a_store_object_says_what_it_is(tmp_path: Path) -> None:
    with store_api.new_for_format("npy", tmp_path / "s", imgshape=(4, 4)) as store:
        store.add_image(np.zeros((4, 4), np.uint8), 1, 1.0)
        assert repr(store) == f"<DirectoryImgStore {str(tmp_path / 's')!r} mode 'w'>"
        assert isinstance(store, store_api.ImgStore)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with store_api.new_for_format("npy", "s", imgshape=(4, 4)) as store:
        store.add_image(np.zeros((4, 4), np.uint8), 1, 1.0)
        store.add_extra_data(a=1)
        monkeypatch.chdir("/")
        store.add_image(np.zeros((4, 4), np.uint8), 2, 1.0)
    monkeypatch.chdir(tmp_path / "s")
    for path in ("metadata.yaml", "../s", ".", Path("metadata.yaml")):
        with store_api.new_for_filename(path) as store:
            assert store.frame_count == 2
            assert Path(store.full_path).exists()
            assert [Path(file).exists() for file in store.find_extra_data_files()] == [True]


def test_the_test_of_this_machine_is_a_command_of_ours() -> None:
    """`test()` runs it; that it does what it says is the command's own tests' matter."""
    done = subprocess.run([sys.executable, "-m", "fieldrec.cli.main", "selftest", "--help"],
                          capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert callable(store_api.test)
