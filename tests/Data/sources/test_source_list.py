"""Lists of pinned source distributions."""

from pathlib import Path

import pytest

from Data.sources import source_list
from Data.sources.source_list import read_source_list
from ltp_pipeline.base.errors import UserError

LIST = """
# a comment
test  gamma==3  sha256:{c}
train alpha==1.0 sha256:{a}   # another
train beta-b==2.post1 sha256:{b}
validation delta==4 sha256:{d}
""".format(**{letter: letter * 64 for letter in "abcd"})


def test_list_is_read_training_first(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(LIST)
    sources = read_source_list(path)
    assert [(s.split, s.name, s.version) for s in sources] == [
        ("train", "alpha", "1.0"),
        ("train", "beta-b", "2.post1"),
        ("validation", "delta", "4"),
        ("test", "gamma", "3"),
    ]
    assert sources[0].sha256 == "a" * 64
    assert sources[0].place == f"{path}:4"
    path.write_text(LIST, encoding="utf-16")  # as PowerShell writes it
    assert read_source_list(path) == sources


@pytest.mark.parametrize(
    "line, message",
    [
        ("train alpha sha256:" + "a" * 64, "list.txt:7: not a pinned source: 'train alpha"),
        ("train x==1 sha256:abc", "expected 'SPLIT NAME==VERSION sha256:HEX'"),
        ("learn x==1 sha256:" + "a" * 64, "SPLIT one of train, validation, test"),
        ("train x==one sha256:" + "a" * 64, "list.txt:7: not a version: 'one'"),
        ("test Beta_B==1 sha256:" + "a" * 64, "list.txt:7: Beta_B is already listed at "),
    ],
)
def test_malformed_line_names_file_and_line(tmp_path, line, message):
    path = tmp_path / "list.txt"
    path.write_text(LIST + line)
    with pytest.raises(UserError) as error:
        read_source_list(path)
    assert message in str(error.value)


def test_missing_list_and_missing_split(tmp_path):
    with pytest.raises(UserError, match="--sources: no such file: .*nothing.txt"):
        read_source_list(tmp_path / "nothing.txt")
    path = tmp_path / "list.txt"
    path.write_text(LIST.replace("validation", "train"))
    with pytest.raises(UserError, match="no source for the validation split"):
        read_source_list(path)


def test_the_lists_in_the_repository_are_well_formed():
    folder = Path(source_list.__file__).parents[1]
    assert len(read_source_list(folder / "sources.txt")) == 40
    assert len(read_source_list(folder / "sources_demo.txt")) == 13
    assert [s.split for s in read_source_list(folder / "sources_quick.txt")] == ["train"] * 3 + ["validation", "test"]


def test_a_version_of_thousands_of_digits_is_an_error_of_one_short_line(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text(f"train a=={'1' * 5000} sha256:{'0' * 64}\n")
    with pytest.raises(UserError, match=r"list.txt:1: not a version") as error:
        read_source_list(file)
    assert len(str(error.value)) < 500
