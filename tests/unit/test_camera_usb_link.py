"""The speed of USB cameras, from a tree like the kernel's."""

from __future__ import annotations

from pathlib import Path

from fieldrec.camera.usb_link import usb_link


def test_the_speed_of_a_usb_camera_is_what_the_kernel_says(tmp_path: Path) -> None:
    for name, serial, speed in (("1-1", "40", "480"), ("2-1", "4001", "5000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "serial").write_text(f"{serial}\n")
        (tmp_path / name / "speed").write_text(f"{speed}\n")
    assert usb_link("4001", tmp_path) == "USB 5000 Mbit/s"
    assert usb_link("9", tmp_path) == "USB"
