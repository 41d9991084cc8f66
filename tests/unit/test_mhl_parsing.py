"""Manifests and chains: what is written comes back, whatever the names; what is hostile is refused,
soon and with little memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import digests
from fieldrec.mhl.directories import directory_hashes
from fieldrec.mhl.ignoring import Ignored
from fieldrec.mhl.model import (
    Digest,
    DirectoryHash,
    FileHash,
    Generation,
    HashList,
    Head,
    Reference,
)
from fieldrec.mhl.parsing import is_inside, parse_chain, parse_head, parse_manifest
from fieldrec.mhl.writing import (
    chain_bytes,
    instant,
    manifest_bytes,
    manifest_name,
    manifest_slices,
    writable,
)
from tests.fakes import ascmhl_schema

HEAD = Head("2026-11-21T06:00:00+00:00", "box", "fieldrec", "1", "transfer",
            'of <bees> & "wasps"', ("ascmhl", "a & b"),
            DirectoryHash(".", "xxh64", "0" * 16, "f" * 16))
WHOLE = HashList(HEAD, [FileHash("a/b.npy", (Digest("xxh64", "0" * 16),), 5)],
                 [DirectoryHash("a", "xxh64", "1" * 16, "2" * 16)],
                 [Reference("wasps/ascmhl/0001_wasps.mhl", digests.c4(b"x"))])
GENERATIONS = [Generation(1, "0001_a.mhl", digests.c4(b"1")),
               Generation(2, "0002_a & b.mhl", digests.c4(b"2"))]

part = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda text: text not in (".", ".."))
paths = st.lists(part, min_size=1, max_size=4).map("/".join)
file_hashes = st.builds(
    lambda path, values, action, size, previous: FileHash(path, tuple(
        Digest(form, digests.text_of(form, value * (64 if form == "c4" else
                                                    digests.hasher(form).digest().__len__())),
               action) for form, value in sorted(values.items())), size, None, previous),
    paths, st.dictionaries(st.sampled_from(digests.FORMATS), st.binary(min_size=1, max_size=1),
                           min_size=1),
    st.sampled_from(["original", "verified", "failed", ""]),
    st.none() | st.integers(0, 2**63), st.just("") | paths)


@settings(max_examples=150, deadline=None)
@given(st.lists(file_hashes, max_size=6, unique_by=lambda file: file.path), st.text(max_size=30))
def test_what_is_written_comes_back_or_is_refused(files: list[FileHash], comment: str) -> None:
    head = Head(HEAD.created, "box", "fieldrec", "1", "in-place", comment)
    texts = [comment, *(text for file in files for text in (file.path, file.previous_path))]
    if not all(map(writable, texts)):
        with pytest.raises(StoreDamaged, match="no ASC MHL manifest can hold"):
            manifest_bytes(HashList(head, files))
        return
    data = manifest_bytes(HashList(head, files))
    assert ascmhl_schema.faults(data) == []
    found = parse_manifest(data, "here")
    assert list(found.files) == files
    assert found.head == head


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600), st.integers(0, 600))
def test_whatever_is_in_a_file_is_told_as_damage(rubbish: bytes, at: int, count: int) -> None:
    for whole, parse in ((manifest_bytes(WHOLE), parse_manifest), (chain_bytes(GENERATIONS),
                                                                   parse_chain)):
        for data in (rubbish, whole[:at] + rubbish + whole[at + count:]):
            try:
                parse(data, "here")
            except StoreDamaged as error:
                assert str(error).startswith("here: not an ASC MHL file")


def test_all_of_a_manifest_and_a_chain() -> None:
    data = manifest_bytes(WHOLE)
    assert b"".join(manifest_slices(WHOLE)) == data
    assert parse_manifest(data, "here") == WHOLE
    assert parse_head(data, "here") == HEAD
    assert parse_head(data[:-200] + b"rubbish", "here") == HEAD, "the rest is not read"
    assert parse_chain(chain_bytes(GENERATIONS), "here") == tuple(GENERATIONS)
    assert manifest_name(12, "a/b", 0) == "0012_a_b_1970-01-01_000000Z.mhl"
    assert manifest_name(1, "a\x07\udcff" + "é" * 120, 0) == \
        f"0001_a__{'é' * 88}_1970-01-01_000000Z.mhl", "within 255 bytes, and XML can hold it"
    assert instant(10**30) == instant(0), "a file of a medium may have any time"
    assert instant(-60 * 10**18) == "0068-09-03T13:20:00+00:00"


CHAIN_SCHEMA = "ASCMHLDirectory__combined"


def test_a_manifest_and_a_chain_are_valid_by_their_schemas() -> None:
    assert ascmhl_schema.faults(manifest_bytes(WHOLE)) == []
    assert ascmhl_schema.faults(manifest_bytes(HashList(HEAD))) == []
    assert ascmhl_schema.faults(chain_bytes(GENERATIONS), CHAIN_SCHEMA) == []
    spoiled = [(b"v2.0", b"v1.0"), (b' version="2.0"', b""), (b"original", b"believed"),
               (b"processinfo", b"process"), (b"<structure>", b"<size>"), (b"06:00:00", b"6:00"),
               (b'size="5"', b'size="five"'), (b"hostname", b"host")]
    for old, new in spoiled:
        assert ascmhl_schema.faults(manifest_bytes(WHOLE).replace(old, new).replace(
            old.replace(b"<", b"</"), new.replace(b"<", b"</"))) != []
    for old, new in ((b"v2.0", b"v1.0"), (b"c4>", b"c5>"), (b"sequencenr", b"number")):
        assert ascmhl_schema.faults(chain_bytes(GENERATIONS).replace(old, new), CHAIN_SCHEMA) != []


def entity(number: int) -> str:
    return f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">'


LAUGHS = "".join(map(entity, range(1, 12)))
XML = '<?xml version="1.0"?>'
LIST = '<hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0">'


@pytest.mark.parametrize("text", [
    f'{XML}<!DOCTYPE x [<!ENTITY e0 "ha">{LAUGHS}]>{LIST}<a>&e11;</a></hashlist>',
    f'{XML}<!DOCTYPE x SYSTEM "file:///etc/passwd">{LIST}</hashlist>',
    f'{XML}<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{LIST}<a>&e;</a></hashlist>',
    f"{XML}{LIST}<a>&nothing;</a></hashlist>",
    XML + "<a>" * 100_000,
    f"{XML}{LIST}<creatorinfo><comment>{'x' * 70_000}</comment></creatorinfo></hashlist>",
    f'{XML}{LIST}<a b="{"x" * 70_000}"/></hashlist>',
    f"{XML}{LIST}<a {'x' * 3_000_000}",
    f"{XML}{LIST}</hashlist>", f"{XML}<html/>", "", "\0", XML,
    f"{XML}<hashlist xmlns='urn:other'/>",
])
def test_hostile_xml_is_refused(text: str) -> None:
    for parse in (parse_manifest, parse_chain):
        with pytest.raises(StoreDamaged, match="here: not an ASC MHL file"):
            parse(text.encode(), "here")


def test_a_tag_without_end_is_given_up_soon() -> None:
    with pytest.raises(StoreDamaged, match="a tag that does not end"):
        parse_manifest(f"{XML}{LIST}<a {'x' * 3_000_000}".encode(), "here")


@pytest.mark.parametrize("doctype", [
    "<!DOCTYPE hashlist>", '<!DOCTYPE hashlist [<!ENTITY e "ha">]>',
    f'<!DOCTYPE hashlist [<!ENTITY e0 "ha">{LAUGHS}<!ENTITY e "&e3;">]>',
    '<!DOCTYPE hashlist [<!ENTITY e SYSTEM "file:///etc/passwd">]>'])
def test_a_document_type_spoils_a_manifest_that_is_right_otherwise(doctype: str) -> None:
    for whole, parse in ((manifest_bytes(WHOLE), parse_manifest), (chain_bytes(GENERATIONS),
                                                                   parse_chain)):
        first, _, rest = whole.decode().partition("\n")
        text = f"{first}\n{doctype}\n{rest}"
        if "ENTITY e " in doctype:
            text = text.replace("0001_", "&e;", 1)
        with pytest.raises(StoreDamaged, match="document type"):
            parse(text.encode(), "here")


@pytest.mark.parametrize(("old", "new"), [
    ("a/b.npy", "../b.npy"), ("a/b.npy", "/etc/passwd"), ("a/b.npy", "a//b"), ("a/b.npy", "a/./b"),
    ("a/b.npy", ""), ("a/b.npy", "x" * 5000), ('size="5"', 'size="-5"'), ('size="5"', 'size="5e3"'),
    ('size="5"', f'size="{"9" * 30}"'), ('action="original"', 'action="believed"'),
    ("0" * 16 + "</xxh64>\n    </hash>", "0" * 15 + "</xxh64>\n    </hash>"),
    ("wasps/ascmhl", "../wasps/ascmhl"), ("<c4>c4", "<c4>c5"),
    (">a</path>", ">a/b.npy</path>"),
    ("</xxh64>\n    </hash>", f"</xxh64><xxh64>{'0' * 16}</xxh64></hash>"),
])
def test_wrong_values_of_a_manifest_are_refused(old: str, new: str) -> None:
    text = manifest_bytes(WHOLE).decode()
    assert old in text
    with pytest.raises(StoreDamaged):
        parse_manifest(text.replace(old, new).encode(), "here")


@pytest.mark.parametrize(("old", "new"), [
    ("0001_a.mhl", "../0001_a.mhl"), ("0001_a.mhl", "sub/0001_a.mhl"), ("0001_a.mhl", "0001_a.sh"),
    ('sequencenr="2"', 'sequencenr="3"'), ('sequencenr="1"', ""), ("<c4>c4", "<c4>"),
    ("0002_a &amp; b.mhl", "0001_a.mhl"),
])
def test_wrong_values_of_a_chain_are_refused(old: str, new: str) -> None:
    text = chain_bytes(GENERATIONS).decode()
    assert old in text
    with pytest.raises(StoreDamaged):
        parse_chain(text.replace(old, new).encode(), "here")


@given(st.binary(min_size=64, max_size=64))
def test_c4_is_base_58(digest: bytes) -> None:
    text = digests.text_of("c4", digest)
    assert len(text) == 90
    assert digests.normal("c4", text) == text
    assert digests.bytes_of("c4", text) == digest


def test_c4_of_nothing() -> None:
    assert digests.c4(b"") == ("c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQ"
                               "stpDuni4Hirj75GEmTc1sFT")


@given(st.dictionaries(paths.filter(is_inside), st.binary(min_size=8, max_size=8), max_size=8))
def test_digests_of_directories_do_not_depend_on_the_order(files: dict[str, bytes]) -> None:
    pairs = [(path, value.hex()) for path, value in files.items() if writable(path)]
    made = directory_hashes("xxh64", pairs)
    assert made == directory_hashes("xxh64", pairs[::-1])
    assert made[-1].path == "."


@pytest.mark.parametrize(("patterns", "path", "is_directory", "out"), [
    (["*.tmp"], "a/b.tmp", False, True), (["*.tmp"], "a/b.tmpx", False, False),
    (["logbook/"], "logbook", True, True), (["logbook/"], "logbook", False, False),
    (["/a"], "a", False, True), (["/a"], "b/a", False, False), (["a/b"], "a/b", False, True),
    (["a/b"], "c/a/b", False, False), (["**/b"], "a/c/b", False, True),
    (["a/**"], "a/b/c", False, True), (["a/**"], "a", True, False),
    (["a/**/c"], "a/c", False, True), (["a/**/c"], "a/x/y/c", False, True),
    (["*", "!keep"], "keep", False, False), (["?.[xy]"], "a.x", False, True),
    (["?.[!xy]"], "a.x", False, False), (["[", "", "#x", "!", "/", "x" * 2000], "[", False, True),
])
def test_patterns_mean_what_they_mean_in_a_gitignore(
        patterns: list[str], path: str, is_directory: bool, out: bool) -> None:
    assert Ignored(patterns)(path, is_directory) is out


def test_no_pattern_takes_for_ever() -> None:
    assert not Ignored(["*a*a*a*a*a*a*a*a*a*a*b", "**/" * 20 + "x"])("a" * 4000 + "/a" * 60, False)
