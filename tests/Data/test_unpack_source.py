"""The files of a pinned source distribution in a folder."""

import pytest

from Data.sources.downloads import file_sha256
from Data.unpack_source import main
from ltp_pipeline.base.errors import UserError
from tests.Data.sources.test_archives import CODE, make_tar


@pytest.fixture
def unpack(tmp_path, capsys):
    """Unpacks an archive that is in the cache already, with these members; returns what is printed."""

    def unpack(contents, *flags):
        archive = tmp_path / "cache" / "a-1.0.tar.gz"
        if not archive.exists():
            archive.parent.mkdir()
            make_tar(archive, contents, special=[("a-1.0/link.c", b"2")])
        arguments = ["a==1.0", f"sha256:{file_sha256(archive)}", "--cache_dir", str(archive.parent)]
        main([*arguments, "--output_dir", str(tmp_path / "out"), *flags])
        return capsys.readouterr().out

    return unpack


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_only_source_files_inside_the_archive_are_written(unpack, tmp_path):
    inside = {"a-1.0/src/z.c": CODE, "a-1.0/latin.h": b"// \xe9\r\n", "a-1.0/setup.py": b"x = 1\n"}
    unpack({**inside, "a-1.0/../../outside.c": CODE, "/absolute/away.c": CODE})
    assert files_below(tmp_path / "out") == {"a-1.0/src/z.c", "a-1.0/latin.h"}
    assert (tmp_path / "out/a-1.0/src/z.c").read_bytes() == CODE
    assert files_below(tmp_path) == {"cache/a-1.0.tar.gz", "out/a-1.0/src/z.c", "out/a-1.0/latin.h"}


def test_a_tree_that_is_there_stays_as_it_is(unpack, tmp_path):
    unpack({"a-1.0/z.c": CODE})
    (tmp_path / "out/a-1.0/z.c").write_text("changed")
    assert "already there" in unpack({})
    assert (tmp_path / "out/a-1.0/z.c").read_text() == "changed"


def test_other_languages(unpack, tmp_path):
    contents = {"a-1.0/z.c": CODE, "a-1.0/b.ps1": b"1\n"}
    with pytest.raises(UserError, match="a 1.0: no .py files; see --language"):
        unpack(contents, "--language", "python")
    unpack(contents, "--language", "powershell", "c")
    assert files_below(tmp_path / "out") == {"a-1.0/z.c", "a-1.0/b.ps1"}


def test_a_tree_appears_whole_or_not_at_all(unpack, tmp_path, monkeypatch):
    def full(path, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(UserError, match="--output_dir .*out: cannot be written: No space left on device"):
        unpack({"a-1.0/z.c": CODE})
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "name, digits", [("a", "0" * 64), ("a==1", "0" * 63), ("==1", "0" * 64), ("a==one", "0" * 64)]
)
def test_what_is_no_pinned_source_is_an_error(name, digits, tmp_path):
    with pytest.raises(UserError, match="NAME==VERSION: not a"):
        main([name, f"sha256:{digits}", "--output_dir", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
