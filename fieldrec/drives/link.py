"""How fast the USB link of a drive is, and what that costs: said when a drive comes. Pure.

The speed is the one that was negotiated: a USB 3 drive behind a USB 2 cable, hub or port has 480.
"""

from __future__ import annotations

from fieldrec.core.amounts import duration, size

USB3_MBPS = 5000
BYTES_PER_S = {480: 32e6, 12: 1.0e6, 1: 0.15e6}
"""What mass storage gets through the link, by negotiated Mb/s. High speed carries at most 13
packets of 512 bytes in each of 8000 microframes a second (53 MB/s); with a command and a status
transfer around every block, bulk-only drives are measured at 30 to 35 MB/s. Full speed: 19 packets
of 64 bytes a millisecond (1.2 MB/s), low speed by its signalling rate. From USB 3 on the drive
itself is the slower part."""


def generation(link_mbps: int) -> str:
    """What is printed beside the socket: "USB 2"."""
    if link_mbps >= USB3_MBPS:
        return "USB 3"
    return "USB 2" if link_mbps > 12 else "USB 1"


def is_slow(link_mbps: int | None) -> bool:
    """Whether it is a USB link that costs time; one that cannot be known is not said to be."""
    return link_mbps is not None and link_mbps < USB3_MBPS


def seconds_for(link_mbps: int, going_bytes: int) -> float:
    """How long a slow link takes to carry so many bytes once."""
    speed = next((mbps for mbps in BYTES_PER_S if link_mbps >= mbps), min(BYTES_PER_S))
    return going_bytes / BYTES_PER_S[speed]


def warning(link_mbps: int, going_bytes: int) -> str:
    """What a slow link will cost for the bytes that are to go, and the way out; 0: none yet."""
    where = f"on {generation(link_mbps)} ({link_mbps} Mb/s)"
    if going_bytes <= 0:
        return f"{where}; use a blue port"
    return (f"{where}: {size(going_bytes)} will take about "
            f"{duration(seconds_for(link_mbps, going_bytes))}, and as long again to compare; use a "
            "blue port")


def refusal(link_mbps: int) -> str:
    """Why `drives.require_usb3` keeps a drive out, and the way in."""
    return (f"on {generation(link_mbps)} ({link_mbps} Mb/s), and drives.require_usb3 is set; use a "
            "blue port and a USB 3 cable")
