"""C and C++ files of archives: what is read, and which archives are refused."""

import gzip
import io
import random
import tarfile
import zipfile
from contextlib import suppress

import pytest

from Data.sources import archives
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.languages import suffixes_of

CODE = b"int f(void) { return 1; }\n"


def read_archive(path):
    return archives.read_archive(path, "a", suffixes_of(["c", "cpp"]))


def make_tar(path, contents, special=(), mode="w:gz"):
    """`contents`: name to content of a file. `special`: (name, kind) of other members, which lead to /etc/passwd."""
    with tarfile.open(path, mode) as archive:
        for name, kind in special:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def make_zip(path, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def test_tar_gives_sources_and_licence(tmp_path):
    info = b"Name: a\nLicense: MIT\nLicense-Expression: BSD-3-Clause\n\ntext"
    sources = dict.fromkeys(("a-1/src/z.c", "a-1/src/b.hpp", "a-1/B.CC", "a-1/setup.py"), CODE)
    other = {"a-1/PKG-INFO": info, "a-1/a.egg-info/PKG-INFO": b"License: other\n"}
    files, licence = read_archive(make_tar(tmp_path / "a-1.tar.gz", sources | other))
    assert [(f.project, f.path) for f in files] == [("a", "B.CC"), ("a", "src/b.hpp"), ("a", "src/z.c")]
    assert files[0].text == CODE.decode()
    assert licence == "BSD-3-Clause"


@pytest.mark.parametrize(
    "info, licence",
    [
        (b"License: UNKNOWN licence\n   second line\nClassifier: License :: MIT License\n", "UNKNOWN licence"),
        (b"Name: a\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        (b"Name: a\n", ""),
    ],
)
def test_licence_from_its_first_line_or_classifiers(info, licence, tmp_path):
    assert read_archive(make_tar(tmp_path / "a.tar.gz", {"a/PKG-INFO": info}))[1] == licence


def test_hostile_tar_members_are_skipped_and_nothing_is_written(tmp_path):
    (tmp_path / "inner").mkdir()
    names = ("../up.c", "a-1/../../up.c", "/absolute/a.c", "a-1\\..\\..\\up.c", "top.c", "a-1/ok.c")
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    special = [(f"a-1/{number}.c", kind) for number, kind in enumerate(kinds)]
    path = make_tar(tmp_path / "inner" / "a-1.tar.gz", dict.fromkeys(names, CODE), special)
    assert [f.path for f in read_archive(path)[0]] == ["ok.c"]
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "a-1.tar.gz"]


def test_hostile_zip_members_are_skipped(tmp_path):
    link = zipfile.ZipInfo("a-1/link.c")
    link.external_attr = 0o120777 << 16
    large = b" " * (archives.MAX_FILE_BYTES + 1)
    contents = {"a-1/ok.c": CODE, "a-1/../up.c": CODE, link: "/etc/passwd", "a-1/large.c": large}
    assert [f.path for f in read_archive(make_zip(tmp_path / "a-1.zip", contents))[0]] == ["ok.c"]


@pytest.mark.parametrize(
    "name, make, contents",
    [
        ("a.tar.gz", make_tar, {"a-1/large.bin": bytes(1_000_000), "a-1/ok.c": CODE}),
        ("a.tar.gz", make_tar, {"a-1/large.c": bytes(1_000_000), "a-1/ok.c": CODE}),
        ("a.zip", make_zip, {f"a/{number}.c": b" " * 10_000 for number in range(20)}),
    ],
)
def test_bombs_are_refused(name, make, contents, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 100_000)
    path = make(tmp_path / name, contents)
    assert path.stat().st_size < 5000
    with pytest.raises(UserError, match=f"{name}: unpacks to more than 100000 bytes"):
        read_archive(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 3)
    contents = {f"a/{number}.txt": b"" for number in range(4)}
    for path in (make_tar(tmp_path / "a.tar.gz", contents), make_zip(tmp_path / "a.zip", contents)):
        with pytest.raises(UserError, match="more than 3 files"):
            read_archive(path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
@pytest.mark.parametrize("cut", [0, 60])
def test_damaged_archive_is_named(tmp_path, name, cut):
    good = make_tar(tmp_path / "good.tar.gz", {"a/a.c": CODE * 100})
    (tmp_path / name).write_bytes(good.read_bytes()[:cut])
    with pytest.raises(UserError, match=f"{name}: not a readable"):
        read_archive(tmp_path / name)


def test_a_damaged_header_is_not_the_end_of_the_archive(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", {"a/a.c": CODE, "a/b.c": CODE, "a/c.c": CODE})
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[1024 + 150] ^= 1  # the checksum of b.c
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(UserError, match="a.tar.gz: not a readable .* damaged"):
        read_archive(path)
    path.write_bytes(
        gzip.compress(gzip.decompress(make_tar(path, {"a/a.c": CODE, "a/b.c": CODE}).read_bytes())[:1300])
    )
    with pytest.raises(UserError, match="a.tar.gz: not a readable .* damaged"):
        read_archive(path)


@pytest.mark.parametrize("name, written", [("a.tar.gz", "a.zip"), ("a.zip", "a.tar.gz"), ("a.tar.xz", "a.tar.gz")])
def test_wrong_ending(tmp_path, name, written):
    made = (make_zip if written == "a.zip" else make_tar)(tmp_path / written, {"a/a.c": CODE})
    made.rename(tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: not a readable .* its content is that of a {written[1:]}"):
        read_archive(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_several_files_with_one_path_the_last_is_read(tmp_path):
    entries = [("a/x.c", b"int first;\n"), ("a/X.c", b"int other;\n"), ("a/x.c", b"int last;\n")]
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    for name in ("a.tar.gz", "a.zip"):
        files, _ = read_archive(tmp_path / name)
        assert [(f.path, f.text) for f in files] == [("X.c", "int other;\n"), ("x.c", "int last;\n")]


def test_a_huge_attribute_and_a_long_path_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a/a.c")
        entry.pax_headers = {"comment": "x" * 2_000_000}
        archive.addfile(entry, io.BytesIO())
    with pytest.raises(UserError, match="a.tar.gz: not a readable .* attribute of 2000"):
        read_archive(tmp_path / "a.tar.gz")
    path = make_tar(tmp_path / "b.tar.gz", {"a/" + "d/" * 9000 + "a.c": CODE, "a/b.c": CODE})
    assert [f.path for f in read_archive(path)[0]] == ["b.c"]


def test_what_is_left_out_is_counted(tmp_path):
    from Data.sources.file_report import FileReport

    contents = {"a/ok.c": CODE, "top.c": CODE, "a/../up.c": CODE, "a/large.c": bytes(archives.MAX_FILE_BYTES + 1)}
    path = make_tar(tmp_path / "a.tar.gz", contents, [("a/link.c", tarfile.SYMTYPE)])
    report = FileReport()
    archives.read_archive(path, "p", frozenset({".c"}), report)
    assert sorted(report.counts()["files_left_out"].values()) == [1, 1, 2]
    assert report.counts()["encodings"] == {"utf-8": 1}


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_damaged_bytes_are_errors_or_change_a_file(tmp_path, name):
    good = (make_tar if name == "a.tar.gz" else make_zip)(tmp_path / name, {f"a/{i}.c": CODE * 20 for i in range(3)})
    content = good.read_bytes() if name == "a.zip" else gzip.decompress(good.read_bytes())
    draw = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content[: draw.choice([len(content), draw.randrange(len(content))])])
        for _ in range(draw.choice([0, 1, 2, 9]) if damaged else 0):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        good.write_bytes(damaged if name == "a.zip" else gzip.compress(bytes(damaged), 1))
        with suppress(UserError):
            read_archive(good)
