"""What is written at the top of a drive: whole or not at all, and never over somebody else's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldrec.app.drive_top import About, has_readme, readme_name, write_top
from fieldrec.catalogue.scan import scan
from fieldrec.core.clock import SystemClock
from fieldrec.core.notes import Kind
from fieldrec.destinations.folder import FolderDestination
from fieldrec.logbook.book import Logbook
from fieldrec.status.drive_readme import FIRST_LINE
from tests.fakes.job_box import names
from tests.fakes.small_stores import make_store


@pytest.fixture
def top(tmp_path: Path) -> Iterator[FolderDestination]:
    (tmp_path / "drive").mkdir()
    (tmp_path / "recordings").mkdir()
    make_store(tmp_path / "recordings", "bees_20261121_060000")
    with contextlib.closing(FolderDestination("FIELD", tmp_path / "drive")) as place:
        yield place


def about(root: Path) -> About:
    logbooks = root / "logbook"
    if not logbooks.exists():
        book = Logbook(logbooks / "spring", box="meadow", deployment="spring",
                       clock=SystemClock(), max_bytes=10**6, on_problem=lambda _text: None)
        book.open()
        book.note(Kind.STARTED, "fieldrec started")
        book.close()
    return About("meadow", "fieldrec", "Europe/Vienna", logbooks)


def write(top: FolderDestination, root: Path, **more: About) -> list[str]:
    said: list[str] = []
    write_top(top, ["bees_20261121_060000", "moved_1", "other"], more.get("about", about(root)),
              scan(root / "recordings"), ["moved_1"], 10**18, said.append)
    return said


def test_readme_and_report_lie_at_the_top_and_are_replaced(top: FolderDestination, tmp_path: Path
                                                          ) -> None:
    for _ in range(2):
        assert write(top, tmp_path) == []
        assert names(top.path) == ["README.txt", "fieldrec-report-meadow.html",
                                   "fieldrec-report-meadow.txt"]
    readme = (top.path / "README.txt").read_text()
    assert readme.startswith(FIRST_LINE) and "bees_20261121_060000" in readme
    assert "deployment spring" in readme and "moved_1" in readme and "1 item in the" in readme
    assert "spring" in (top.path / "fieldrec-report-meadow.html").read_text()
    assert has_readme(top)


def test_a_readme_of_somebody_else_stays(top: FolderDestination, tmp_path: Path) -> None:
    (top.path / "README.txt").write_text("holiday pictures")
    assert not has_readme(top)
    assert write(top, tmp_path) == []
    assert (top.path / "README.txt").read_text() == "holiday pictures"
    assert (top.path / "README-fieldrec.txt").read_text().startswith(FIRST_LINE)
    assert readme_name(top) == "README-fieldrec.txt"
    (top.path / "README-fieldrec.txt").write_text("mine too")
    assert write(top, tmp_path) == ["README.txt and README-fieldrec.txt on it are somebody else's: "
                                    "none was written"]


@pytest.mark.parametrize("plant", ["link", "directory", "large"])
def test_what_is_no_file_of_ours_is_neither_followed_nor_replaced(
        top: FolderDestination, tmp_path: Path, plant: str) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    path = top.path / "README.txt"
    if plant == "link":
        path.symlink_to(target)
    elif plant == "directory":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.write(FIRST_LINE.encode())
            file.truncate(9 * 1024 * 1024)
    assert write(top, tmp_path) == []
    assert target.read_text() == "kept"
    assert (top.path / "README-fieldrec.txt").exists()


def test_without_a_record_and_with_a_planted_report(top: FolderDestination, tmp_path: Path) -> None:
    nothing = About("meadow", "fieldrec", "UTC", None)
    assert write(top, tmp_path, about=nothing) == []
    assert names(top.path) == ["README.txt"]
    (top.path / "fieldrec-report-meadow.html").symlink_to(tmp_path / "precious")
    (said,) = write(top, tmp_path)
    assert "fieldrec-report-meadow.html was not written" in said
    assert not (tmp_path / "precious").exists()
