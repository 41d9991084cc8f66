"""What strangers wrote on a drive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.drives.labels import identity, printable


@pytest.mark.parametrize(("text", "clean"), [
    ("FIELD-01", "FIELD-01"), ("\x1b[31mred", "?[31mred"), ("<b>&'\"", "<b>&'\""),
    ("a\nb\r\tc\0", "a?b??c?"), ("Käfer", "K?fer"), ("Ka\u0308fer", "K?fer"),
    ("\u202egpj.exe", "?gpj.exe"), ("x" * 40, "x" * 32), ("", ""), ("  FIELD  ", "FIELD"),
    ("\udcff", "?"),
])
def test_printable(text: str, clean: str) -> None:
    assert printable(text) == clean


@given(st.text())
def test_whatever_it_is_it_is_short_printable_ascii(text: str) -> None:
    clean = printable(text)
    assert clean.isascii() and (clean.isprintable() or not clean) and len(clean) <= 32


@pytest.mark.parametrize(("fs_uuid", "clean"), [
    ("71C7-17D6", "71C7-17D6"),
    ("11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-555555555555"),
    ("../../etc", ""), ("a b", ""), (".", ""), ("x" * 65, ""), ("a\n", ""), ("", ""),
])
def test_identity(fs_uuid: str, clean: str) -> None:
    assert identity(fs_uuid) == clean
