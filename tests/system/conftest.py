"""What tests of a whole system share: one udevd for each process of tests, drives for each test."""

from tests.system.udevd import udevd, udevd_session

__all__ = ["udevd", "udevd_session"]
