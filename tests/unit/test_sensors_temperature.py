"""The processor's temperature, from trees as boards have them and from sensors that lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.sensors import temperature


def zone(root: Path, number: int, kind: str, temp: str | bytes) -> Path:
    folder = root / "class" / "thermal" / f"thermal_zone{number}"
    folder.mkdir(parents=True)
    (folder / "type").write_text(kind + "\n")
    (folder / "temp").write_bytes(temp if isinstance(temp, bytes) else temp.encode())
    return folder


def chip(root: Path, number: int, name: str, *temps: str) -> None:
    folder = root / "class" / "hwmon" / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    for index, temp in enumerate(temps, 1):
        (folder / f"temp{index}_input").write_text(temp + "\n")


@pytest.mark.parametrize("kind", [
    "x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal", "cpu0-thermal",
    "bcm2835_thermal", "bigcore0-thermal", "littlecore-thermal", "TCPU", "CPU-therm",
    "package-thermal", "tj-thermal"])
def test_the_processors_zone_by_its_type(tmp_path: Path, kind: str) -> None:
    zone(tmp_path, 0, kind, "51234\n")
    assert temperature.read(tmp_path) == pytest.approx(51.234)


@pytest.mark.parametrize("name", ["coretemp", "k10temp", "cpu_thermal", "soc_thermal"])
def test_the_processors_chip_by_its_name(tmp_path: Path, name: str) -> None:
    chip(tmp_path, 0, name, "40000", "63500", "41000")
    assert temperature.read(tmp_path) == pytest.approx(63.5)


def test_what_is_not_the_processor_does_not_count(tmp_path: Path) -> None:
    zone(tmp_path, 0, "gpu-thermal", "90000")
    zone(tmp_path, 1, "iwlwifi_1", "70000")
    chip(tmp_path, 0, "nvme", "80000")
    chip(tmp_path, 1, "BAT0", "35000")
    assert temperature.read(tmp_path) is None
    zone(tmp_path, 2, "acpitz", "27800")
    assert temperature.read(tmp_path) == pytest.approx(27.8)  # the board's, for want of another
    zone(tmp_path, 3, "cpu-thermal", "25000")
    assert temperature.read(tmp_path) == pytest.approx(25.0)


@pytest.mark.parametrize("said", [
    "", "\n", "nan", "inf", "-273000", "255000", "130001", "-45001", "0", "4294967295", "12.5",
    "0x40", "9" * 5000, b"\xff\xfe\x00", "-"])
def test_nonsense_is_left_out(tmp_path: Path, said: str | bytes) -> None:
    zone(tmp_path, 0, "cpu-thermal", said)
    assert temperature.read(tmp_path) is None
    chip(tmp_path, 0, "coretemp", "48000")
    assert temperature.read(tmp_path) == pytest.approx(48.0)


def test_cold_is_believed(tmp_path: Path) -> None:
    zone(tmp_path, 0, "cpu-thermal", "-12000")
    assert temperature.read(tmp_path) == pytest.approx(-12.0)


def test_nothing_there_and_what_cannot_be_read(tmp_path: Path) -> None:
    assert temperature.read(tmp_path / "none") is None
    (tmp_path / "file").touch()
    assert temperature.read(tmp_path / "file") is None
    folder = zone(tmp_path, 0, "cpu-thermal", "50000")
    (folder / "temp").unlink()
    (folder / "temp").mkdir()  # EISDIR stands for a driver's EIO
    assert temperature.read(tmp_path) is None
    (folder / "type").unlink()
    assert temperature.read(tmp_path) is None


def test_this_machine_is_asked_without_harm() -> None:
    found = temperature.read()
    assert found is None or temperature.LEAST_C <= found <= temperature.MOST_C
