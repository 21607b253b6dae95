"""C and C++ files of archives: what is read, and which archives are refused."""

import io
import tarfile
import zipfile

import pytest

from Data.sources import archives
from Data.sources.archives import MAX_FILE_BYTES
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.languages import suffixes_of

CODE = b"int f(void) { return 1; }\n"


def read_archive(path):
    return archives.read_archive(path, "a", suffixes_of(["c", "cpp"]))


def make_tar(path, members):
    """`members`: (name, content) for a file, or a TarInfo."""
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                archive.addfile(entry, io.BytesIO(member[1]))
    return path


def special(name, kind, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def test_tar_gives_sources_and_licence(tmp_path):
    path = make_tar(
        tmp_path / "a-1.tar.gz",
        [
            ("a-1/src/z.c", CODE),
            ("a-1/src/b.hpp", CODE),
            ("a-1/B.CC", CODE),
            ("a-1/setup.py", b"raise SystemExit('must not run')"),
            ("a-1/PKG-INFO", b"Name: a\nLicense: MIT\nLicense-Expression: BSD-3-Clause\n\ntext"),
            ("a-1/a.egg-info/PKG-INFO", b"License: other\n"),
        ],
    )
    files, licence = read_archive(path)
    assert [(f.project, f.path) for f in files] == [("a", "B.CC"), ("a", "src/b.hpp"), ("a", "src/z.c")]
    assert files[0].text == CODE.decode()
    assert licence == "BSD-3-Clause"


def test_licence_from_classifiers_or_first_line(tmp_path):
    info = b"Name: a\nLicense: UNKNOWN licence\n   second line\nClassifier: License :: OSI Approved :: MIT License\n"
    assert read_archive(make_tar(tmp_path / "a.tar.gz", [("a/PKG-INFO", info)]))[1] == "UNKNOWN licence"
    info = info.split(b"License:")[0] + b"Classifier: License" + info.split(b"Classifier: License")[1]
    assert read_archive(make_tar(tmp_path / "b.tar.gz", [("a/PKG-INFO", info)]))[1] == "MIT License"


def test_hostile_tar_members_are_skipped_and_nothing_is_written(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    path = make_tar(
        folder / "a-1.tar.gz",
        [
            ("../escaped.c", CODE),
            ("a-1/../../escaped.c", CODE),
            ("/absolute/a.c", CODE),
            ("a-1\\..\\..\\escaped.c", CODE),
            ("top.c", CODE),
            special("a-1/link.c", tarfile.SYMTYPE, "/etc/passwd"),
            special("a-1/hard.c", tarfile.LNKTYPE, "a-1/ok.c"),
            special("a-1/device.c", tarfile.CHRTYPE),
            special("a-1/pipe.c", tarfile.FIFOTYPE),
            special("a-1/folder.c", tarfile.DIRTYPE),
            ("a-1/ok.c", CODE),
        ],
    )
    assert [f.path for f in read_archive(path)[0]] == ["ok.c"]
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "a-1.tar.gz"]


def test_zip_is_read_with_the_same_care(tmp_path):
    path = tmp_path / "a-1.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a-1/ok.c", CODE)
        archive.writestr("a-1/../up.c", CODE)
        link = zipfile.ZipInfo("a-1/link.c")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a-1/large.c", b" " * (MAX_FILE_BYTES + 1))
    assert [f.path for f in read_archive(path)[0]] == ["ok.c"]


@pytest.mark.parametrize("name", ["a-1/large.bin", "a-1/large.c"])
def test_size_bomb_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 100_000)
    path = make_tar(tmp_path / "a.tar.gz", [(name, bytes(1_000_000)), ("a-1/ok.c", CODE)])
    assert path.stat().st_size < 5000
    with pytest.raises(UserError, match="a.tar.gz: unpacks to more than 100000 bytes"):
        read_archive(path)


def test_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"a/{number}.c", b" " * 10_000)
    with pytest.raises(UserError, match="a.zip: unpacks to more than 100000 bytes"):
        read_archive(tmp_path / "a.zip")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 3)
    path = make_tar(tmp_path / "a.tar.gz", [(f"a/{number}.txt", b"") for number in range(4)])
    with pytest.raises(UserError, match="more than 3 files"):
        read_archive(path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
@pytest.mark.parametrize("cut", [0, 60])
def test_damaged_archive_is_named(tmp_path, name, cut):
    good = make_tar(tmp_path / "good.tar.gz", [("a/a.c", CODE * 100)])
    (tmp_path / name).write_bytes(good.read_bytes()[:cut])
    with pytest.raises(UserError, match=f"{name}: not a readable"):
        read_archive(tmp_path / name)
