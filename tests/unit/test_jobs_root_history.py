"""The history of a whole destination: right for the reference implementation after each visit,
gone on from by it and by us, and repaired after a cut."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.catalogue.verify import verify
from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import root_history
from fieldrec.jobs.root_history import close_history
from fieldrec.mhl.parsing import parse_manifest
from tests.fakes import ascmhl_tool
from tests.fakes.small_stores import make_export, make_store
from tests.unit.test_mhl_reference import At, nas, offload

pytest.importorskip("ascmhl", reason="the ascmhl package is the oracle")
__all__ = ["nas"]
DAY_NS = 86_400_000_000_000


def close(nas: Path, day: int) -> bool:
    with closing(FolderDestination("nas", nas)) as place:
        return close_history(place, 20_000 * DAY_NS + day * DAY_NS)


def visit(nas: Path, name: str, day: int) -> None:
    """Another recording comes to be there, raw and exported."""
    recordings = nas.parent / "recordings"
    make_export(recordings, name, make_store(recordings, name, seed=day), seed=day)
    offload(recordings, nas)
    (nas / "logbook").mkdir(exist_ok=True)
    (nas / "logbook" / "1.jsonl").write_text(f"day {day}\n")
    assert close(nas, day)


def assert_right(nas: Path) -> None:
    """For both."""
    code, said = ascmhl_tool.verify(nas)
    assert code == ascmhl_tool.OK, said
    outcomes = list(verify(nas))
    assert [o.path for o in outcomes if not o.is_right] == []


def assert_digest_right(nas: Path) -> None:
    """Of the whole, as the latest generation has it."""
    code, said = ascmhl_tool.ascmhl_debug("verify", "-dh", "-v", nas)
    latest = len(list((nas / "ascmhl").glob("*.mhl")))
    assert code == ascmhl_tool.OK, said
    assert f"root folder   OK (generation {latest:04d})" in said


def test_visits_one_after_the_other_by_us_and_by_others(nas: Path) -> None:
    assert close(nas, 0)
    manifest, = (nas / "ascmhl").glob("*.mhl")
    told = parse_manifest(manifest.read_bytes(), "here")
    assert [one.path.partition("/")[0] for one in told.references] == ["bees"]
    assert [one.path for one in told.files] == ["bees.high.mp4", "bees.high.mp4.json"]
    assert_right(nas)
    assert not close(nas, 1), "nothing came since then"
    visit(nas, "wasps", 2)
    assert_right(nas)
    assert len(list((nas / "ascmhl").glob("*.mhl"))) == 2
    code, said = ascmhl_tool.ascmhl("create", nas)
    assert code == ascmhl_tool.OK, said
    assert_right(nas)
    assert not close(nas, 3)
    visit(nas, "flies", 4)
    assert_right(nas)
    assert_digest_right(nas)
    assert offload(nas.parent / "recordings", nas) == ()
    assert len(list((nas / "ascmhl").glob("*.mhl"))) == 4


def test_a_recording_or_movie_that_is_gone_is_missed(nas: Path) -> None:
    close(nas, 0)
    (nas / "bees").rename(nas.parent / "away")
    (nas / "bees.high.mp4").unlink()
    outcome, = verify(nas)
    assert outcome.missing == ("bees", "bees.high.mp4")
    assert ascmhl_tool.verify(nas)[0] == ascmhl_tool.MISSING


@pytest.mark.parametrize("what", ["bees", "bees.high.mp4"])
def test_what_was_taken_away_and_copied_anew_is_right(nas: Path, what: str) -> None:
    close(nas, 0)
    recordings = nas.parent / "recordings"
    if what == "bees":
        shutil.rmtree(nas / "bees")
    else:
        for folder in (nas, recordings):
            (folder / what).unlink()
            (folder / f"{what}.json").unlink()
        uuid = scan(recordings)[0].uuid
        make_export(recordings, "bees", uuid, size_bytes=5001, seed=99)
    assert not close(nas, 1), "what is away only is missing"
    offload(recordings, nas, At(20_002 * DAY_NS))
    assert close(nas, 2)
    assert_right(nas)
    assert len(list((nas / "ascmhl").glob("*.mhl"))) == 1
    assert [path.name[:21] for path in nas.glob(".fieldrec-*")] == [".fieldrec-ascmhl-0001"]
    assert not close(nas, 3)


def test_what_is_damaged_is_still_what_the_history_knows(nas: Path) -> None:
    close(nas, 0)
    movie = nas / "bees.high.mp4"
    movie.write_bytes(movie.read_bytes()[:-1])
    chain = nas / "bees" / "ascmhl" / "ascmhl_chain.xml"
    chain.write_bytes(chain.read_bytes()[:-9])
    assert not close(nas, 1)
    assert list(nas.glob(".fieldrec-*")) == [], "it is still the history"
    assert [o.is_right for o in verify(nas)] == [False, False]


@pytest.mark.parametrize("step", range(1, 8))
def test_a_cut_anywhere_is_repaired_by_the_next_visit(nas: Path, step: int) -> None:
    close(nas, 0)
    recordings = nas.parent / "recordings"
    make_export(recordings, "wasps", make_store(recordings, "wasps", seed=5), seed=5)
    offload(recordings, nas)
    steps = 0

    def cut(_step: str, _path: Path) -> None:
        nonlocal steps
        steps += 1
        if steps >= step:
            raise OSError(5, "cut")

    durable.set_hook(cut)
    try:
        with pytest.raises(Exception, match="cut"):
            close(nas, 1)
    finally:
        durable.set_hook(None)
    assert close(nas, 2)
    outcomes = list(verify(nas))
    assert [o.path for o in outcomes if not o.is_right] == []
    assert not list((nas / "ascmhl").glob(".part-*"))


def test_a_history_beyond_all_measure_is_not_read(nas: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    close(nas, 0)
    visit(nas, "wasps", 1)
    sizes = [path.stat().st_size for path in (nas / "ascmhl").glob("*.mhl")]
    monkeypatch.setattr(root_history, "MOST_BYTES", sum(sizes) - 1)
    with pytest.raises(StoreDamaged, match="larger than"):
        close(nas, 2)


def test_a_history_that_cannot_be_relied_on_is_left_as_it_is(nas: Path) -> None:
    close(nas, 0)
    chain = nas / "ascmhl" / "ascmhl_chain.xml"
    chain.write_bytes(chain.read_bytes()[:-30])
    before = chain.read_bytes()
    visited = nas.parent / "recordings"
    make_store(visited, "wasps", seed=5)
    offload(visited, nas)
    with pytest.raises(StoreDamaged, match="ascmhl_chain"):
        close(nas, 1)
    assert chain.read_bytes() == before


def test_a_generation_of_ours_over_the_whole_tree(nas: Path) -> None:
    from fieldrec.core.clock import SystemClock

    close(nas, 0)
    outcomes = list(verify(nas, write=SystemClock()))
    assert [Path(o.written).name[:9] for o in outcomes] == ["0002_bees", "0002_nas_"]
    assert_right(nas)
    assert not close(nas, 30_000)
