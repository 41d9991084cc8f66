"""The digests of ASC MHL: how each is made, and how each is written. Pure; any thread.

XXH64 is what every tool shares and what we write; the others are what histories by other tools may
hold. C4 is SHA-512 in base 58: "c4", then 88 characters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import xxhash

FORMATS = ("c4", "md5", "sha1", "xxh128", "xxh3", "xxh64")
"""In the order in which they stand in a manifest."""
FASTEST = ("xxh3", "xxh128", "xxh64", "sha1", "md5", "c4")
"""Of several digests of one file, the first of these is compared."""
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_C4_LETTERS = 88
_MAKERS: dict[str, Callable[[], Any]] = {
    "c4": hashlib.sha512, "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "xxh128": xxhash.xxh3_128, "xxh3": xxhash.xxh3_64, "xxh64": xxhash.xxh64}
_SYNTAX = {
    "c4": re.compile(rf"c4[{_ALPHABET}]{{{_C4_LETTERS}}}\Z"),
    "md5": re.compile(r"[0-9a-f]{32}\Z"), "sha1": re.compile(r"[0-9a-f]{40}\Z"),
    "xxh128": re.compile(r"[0-9a-f]{32}\Z"), "xxh3": re.compile(r"[0-9a-f]{16}\Z"),
    "xxh64": re.compile(r"[0-9a-f]{16}\Z")}


class Hasher(Protocol):
    """What takes a digest of bytes that arrive in slices."""

    def update(self, data: Any, /) -> None:
        """The next slice."""
        ...

    def digest(self) -> bytes:
        """Of what has arrived."""
        ...


def hasher(form: str) -> Hasher:
    """A new one for one of FORMATS."""
    made: Hasher = _MAKERS[form]()
    return made


def text_of(form: str, digest: bytes) -> str:
    """A digest as it is written in a manifest."""
    if form != "c4":
        return digest.hex()
    number, letters = int.from_bytes(digest, "big"), []
    while number:
        number, place = divmod(number, 58)
        letters.append(_ALPHABET[place])
    return "c4" + "".join(reversed(letters)).rjust(_C4_LETTERS, _ALPHABET[0])


def bytes_of(form: str, text: str) -> bytes:
    """A digest that :func:`normal` has passed, as bytes. ValueError for a C4 beyond 512 bits."""
    if form != "c4":
        return bytes.fromhex(text)
    number = 0
    for letter in text[2:]:
        number = number * 58 + _ALPHABET.index(letter)
    try:
        return number.to_bytes(64, "big")
    except OverflowError as error:
        raise ValueError("not a C4") from error


def normal(form: str, text: str) -> str | None:
    """The digest as we write it (some tools write capitals); None unless it is one of that kind."""
    text = text if form == "c4" else text.lower()
    return text if _SYNTAX[form].match(text) else None


def c4(data: bytes) -> str:
    """C4 of some bytes: of a manifest, for the chain."""
    return c4_of((data,))


def c4_of(slices: Iterable[bytes]) -> str:
    """The same of bytes that come one after the other."""
    whole = hashlib.sha512()
    for data in slices:
        whole.update(data)
    return text_of("c4", whole.digest())


def of_many(form: str, texts: Iterable[str]) -> str:
    """The digest of sorted digests: how directories get theirs."""
    whole = hasher(form)
    for text in sorted(texts):
        whole.update(bytes_of(form, text))
    return text_of(form, whole.digest())
