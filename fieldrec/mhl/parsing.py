"""Manifests and chains as they come from a medium, that is: from anybody. Any thread.

Document types and entities are refused (nothing is expanded, nothing fetched), so are deep nesting,
long texts, paths that leave the data set, and digests that are none. Time is linear in the bytes,
which whoever reads them has limited; scanning holds one file at a time. What we do not know
(metadata of other tools) is passed over.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Container, Iterable, Iterator
from xml.parsers import expat

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import EXTENSION
from fieldrec.mhl.digests import FORMATS, normal
from fieldrec.mhl.model import (
    FAILED,
    ORIGINAL,
    VERIFIED,
    Digest,
    DirectoryHash,
    FileHash,
    Generation,
    HashList,
    Head,
    Reference,
)

LONGEST_TEXT = 65536
"""Characters of one text; a path has 4096 bytes at most."""
DEEPEST = 32
"""Elements in one another; ours have five."""
MOST_PATTERNS = 1000
_UNFINISHED_BYTES = 1 << 20
"""A tag that has not ended after so many is refused: looking at it again and again takes time that
grows with its square."""
_SLICE_BYTES = 1 << 16
_LIST = "urn:ASC:MHL:v2.0"
_CHAIN = "urn:ASC:MHL:DIRECTORY:v2.0"
_ACTIONS = frozenset({ORIGINAL, VERIFIED, FAILED, ""})
_BETWEEN = "\n"
"""Between namespace and name: no namespace has a line break (it would be a space)."""


def parse_manifest(data: bytes, where: str) -> HashList:
    """Read and check a manifest; StoreDamaged says what is wrong with `where`, or that a path is
    there twice."""
    files: dict[str, FileHash] = {}

    def take(file: FileHash) -> None:
        _once(file.path, files)
        files[file.path] = file

    told = scan_manifest(sliced(data), where, take)
    with _told(where):
        for one in told.directories:
            _once(one.path, files)
    return HashList(told.head, list(files.values()), told.directories, told.references)


def scan_manifest(slices: Iterable[bytes], where: str, take: Callable[[FileHash], None]
                  ) -> HashList:
    """The same without holding the files: `take` gets each as it comes, the list has none. A file
    may come twice. StoreDamaged may be found last: what was taken is worth nothing then."""
    reader = _ManifestReader(take)
    with _told(where):
        _feed(reader, slices)
        return reader.made()


def parse_head(data: bytes, where: str) -> Head:
    """What stands at the beginning of a manifest, without reading the rest; StoreDamaged."""
    reader = _ManifestReader(lambda _file: None, head_only=True)
    with _told(where):
        with contextlib.suppress(_Enough):
            _feed(reader, sliced(data))
        return reader.made().head


def parse_chain(data: bytes, where: str) -> tuple[Generation, ...]:
    """Read and check a chain: the generations in their order, numbered without gap from 1."""
    reader = _ChainReader()
    with _told(where):
        _feed(reader, sliced(data))
        return reader.made()


def is_inside(path: str) -> bool:
    """Whether a path stays below the folder it is relative to, and is written in one way only."""
    return ("\0" not in path and len(path) <= 4096
            and all(part not in ("", ".", "..") for part in path.split("/")))


def sliced(data: bytes) -> Iterator[bytes]:
    """Bytes that are at hand, as :func:`scan_manifest` wants them."""
    return (data[at:at + _SLICE_BYTES] for at in range(0, len(data), _SLICE_BYTES))


class _Invalid(Exception):
    """What is wrong, in words."""


class _Enough(Exception):
    """What was wanted has been read."""


class _Reader:
    """Gets the elements, by their path from the root ("hashlist/hashes/hash/path")."""

    namespace = ""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.path = ""
        self.attributes: list[dict[str, str]] = []
        self.text: list[str] = []
        self._text_length = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.names) >= DEEPEST:
            raise _Invalid("elements too deep in one another")
        namespace, _, local = name.rpartition(_BETWEEN)
        if not self.names and namespace not in (self.namespace, ""):
            raise _Invalid(f"it is in namespace {namespace[:80]!r}")
        if any(len(value) > LONGEST_TEXT for value in attributes.values()):
            raise _Invalid("an attribute is too long")
        self.names.append(local)
        self.path = "/".join(self.names)
        self.attributes.append(attributes)
        self.text, self._text_length = [], 0
        self.begun()

    def characters(self, text: str) -> None:
        self._text_length += len(text)
        if self._text_length > LONGEST_TEXT:
            raise _Invalid("a text is too long")
        self.text.append(text)

    def end(self, _name: str) -> None:
        self.ended("".join(self.text), self.attributes.pop())
        self.names.pop()
        self.path = "/".join(self.names)
        self.text, self._text_length = [], 0

    def begun(self) -> None:
        """An element has begun."""

    def ended(self, text: str, attributes: dict[str, str]) -> None:
        """An element has ended; `text` is what stood in it last."""
        raise NotImplementedError


class _ManifestReader(_Reader):
    namespace = _LIST

    def __init__(self, take: Callable[[FileHash], None], *, head_only: bool = False) -> None:
        super().__init__()
        self._take = take
        self._head_only = head_only
        self._head: dict[str, str] = {}
        self._ignored: list[str] = []
        self._root: DirectoryHash | None = None
        self._directories: dict[str, DirectoryHash] = {}
        self._references: list[Reference] = []
        self._clear()

    def made(self) -> HashList:
        if "process" not in self._head:
            raise _Invalid("it is no hash list")
        told = self._head
        head = Head(told.get("creationdate", ""), told.get("hostname", ""), told.get("tool", ""),
                    told.get("version", ""), told["process"], told.get("comment", ""),
                    tuple(self._ignored), self._root)
        return HashList(head, (), list(self._directories.values()), self._references)

    def _clear(self) -> None:
        self._path, self._previous, self._c4 = "", "", ""
        self._size: int | None = None
        self._digests: list[Digest] = []
        self._content: tuple[str, str] = ("", "")
        self._structures: dict[str, str] = {}

    def ended(self, text: str, attributes: dict[str, str]) -> None:
        match self.names:
            case ["hashlist", "hashes", "hash", *rest]:
                self._in_file(rest, text, attributes)
            case ["hashlist", "hashes", "directoryhash", *rest]:
                self._in_directory(rest, text)
            case ["hashlist", "processinfo", "roothash", *rest]:
                self._in_root(rest, text)
            case ["hashlist", "references", "hashlistreference", *rest]:
                self._in_reference(rest, text)
            case ["hashlist", "processinfo", "ignore", "pattern"]:
                if len(self._ignored) >= MOST_PATTERNS:
                    raise _Invalid("too many patterns of what is ignored")
                self._ignored.append(text)
            case ["hashlist", "processinfo"] if self._head_only:
                raise _Enough
            case ["hashlist", "processinfo", "process"]:
                self._head["process"] = text
            case ["hashlist", "creatorinfo",
                  "creationdate" | "hostname" | "tool" | "comment" as name]:
                self._head[name] = text
                if name == "tool":
                    self._head["version"] = attributes.get("version", "")

    def _in_file(self, rest: list[str], text: str, attributes: dict[str, str]) -> None:
        match rest:
            case ["path"]:
                self._path = _path(text)
                self._size = _size(attributes.get("size"))
            case ["previousPath"]:
                self._previous = _path(text)
            case [form] if form in FORMATS:
                action = attributes.get("action", "")
                if action not in _ACTIONS:
                    raise _Invalid(f"action {action[:40]!r} is not known")
                if any(one.form == form for one in self._digests):
                    raise _Invalid(f"{self._path[:200]!r} has two digests of one kind")
                self._digests.append(Digest(form, _digest(form, text), action))
            case []:
                _require_path(self._path)
                self._take(FileHash(self._path, tuple(self._digests), self._size, None,
                                    self._previous))
                self._clear()

    def _in_directory(self, rest: list[str], text: str) -> None:
        match rest:
            case ["path"]:
                self._path = _path(text)
            case ["previousPath"]:
                self._previous = _path(text)
            case []:
                _require_path(self._path)
                _once(self._path, self._directories)
                self._directories[self._path] = self._directory(self._path)
                self._clear()
            case _:
                self._in_two(rest, text)

    def _in_root(self, rest: list[str], text: str) -> None:
        if rest:
            self._in_two(rest, text)
            return
        self._root = self._directory(".")
        self._clear()

    def _in_two(self, rest: list[str], text: str) -> None:
        match rest:
            case ["content", form] if form in FORMATS:
                if form == "xxh64" or not self._content[0]:
                    self._content = form, _digest(form, text)
            case ["structure", form] if form in FORMATS:
                self._structures[form] = _digest(form, text)

    def _directory(self, path: str) -> DirectoryHash:
        form, content = self._content
        structure = self._structures.get(form, "")
        if not (form and structure):
            form = content = structure = ""
        return DirectoryHash(path, form, content, structure, self._previous)

    def _in_reference(self, rest: list[str], text: str) -> None:
        match rest:
            case ["path"]:
                self._path = _path(text)
            case ["c4"]:
                self._c4 = _digest("c4", text)
            case []:
                if not self._path or not self._c4:
                    raise _Invalid("a reference without path or digest")
                self._references.append(Reference(self._path, self._c4))
                self._clear()


class _ChainReader(_Reader):
    namespace = _CHAIN

    def __init__(self) -> None:
        super().__init__()
        self._root = ""
        self._found: dict[str, Generation] = {}
        self._name, self._c4 = "", ""

    def made(self) -> tuple[Generation, ...]:
        if self._root != "ascmhldirectory":
            raise _Invalid("it is no chain")
        return tuple(self._found.values())

    def begun(self) -> None:
        self._root = self.names[0]

    def ended(self, text: str, attributes: dict[str, str]) -> None:
        match self.names:
            case ["ascmhldirectory", "hashlist", "path"]:
                if "/" in text or not is_inside(text) or not text.endswith(EXTENSION):
                    raise _Invalid(f"{text[:200]!r} is not the name of a manifest")
                self._name = text
            case ["ascmhldirectory", "hashlist", "c4"]:
                self._c4 = _digest("c4", text)
            case ["ascmhldirectory", "hashlist"]:
                number = _size(attributes.get("sequencenr"))
                if number != len(self._found) + 1:
                    raise _Invalid(f"generation {len(self._found) + 1} is missing")
                if not self._name or not self._c4:
                    raise _Invalid("a generation without name or digest")
                _once(self._name, self._found)
                self._found[self._name] = Generation(number, self._name, self._c4)
                self._name, self._c4 = "", ""


def _feed(reader: _Reader, slices: Iterable[bytes]) -> None:
    parser = expat.ParserCreate(namespace_separator=_BETWEEN)
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse  # there are no entities without one
    fed = 0
    for data in slices:
        parser.Parse(data, False)
        fed += len(data)
        if fed - parser.CurrentByteIndex > _UNFINISHED_BYTES:
            raise _Invalid("a tag that does not end")
    parser.Parse(b"", True)


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except (expat.ExpatError, _Invalid, ValueError, LookupError) as error:
        raise StoreDamaged(f"{where}: not an ASC MHL file: {error}") from error


def _refuse(*_what: object) -> None:
    raise _Invalid("it has a document type or entities of its own")


def _path(text: str) -> str:
    if not is_inside(text):
        raise _Invalid(f"path {text[:200]!r} leaves the folder")
    return text


def _require_path(path: str) -> None:
    if not path:
        raise _Invalid("a digest without a path")


def _once(path: str, known: Container[str]) -> None:
    if path in known:
        raise _Invalid(f"{path[:200]!r} is there twice")


def _digest(form: str, text: str) -> str:
    found = normal(form, text.strip())
    if found is None:
        raise _Invalid(f"{text[:120]!r} is not a digest of kind {form}")
    return found


@functools.lru_cache(1000)
def _size(text: str | None) -> int | None:
    """The same number is the same object: frames are alike, and there are millions."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise _Invalid(f"{text[:40]!r} is not a whole number")
    return int(text)

