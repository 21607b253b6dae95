"""benchmarks.function_heads: heads that are in no function."""

import csv
import hashlib
import json
import shutil

import pytest

from benchmarks.function_heads import main
from ltp_pipeline.base.errors import UserError
from tests.Data.sources.test_archives import make_tar

SOURCE = b"""int one(void)
{
    return 1;
}
HANDLER(two)
{
    return 2;
}
/* three(void)
{ */
int four(void)
{
    if (x) {
    return 4;
}
"""


def write_list(folder):
    lines = []
    for split in ("train", "validation", "test"):
        path = folder / f"{split}er-1.0.tar.gz"
        make_tar(path, {f"{split}er-1.0/a.c": SOURCE + f"// {split}\n".encode()})
        lines.append(f"{split} {split}er==1.0 sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    (folder / "list.txt").write_text("\n".join(lines))
    return ["--sources", str(folder / "list.txt"), "--cache_dir", str(folder), "--output_dir", str(folder / "out")]


@pytest.mark.skipif(shutil.which("ctags") is None, reason="needs Universal Ctags")
def test_heads_that_are_lost_are_counted_and_listed(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(write_list(tmp_path))
    assert "error: more than 0.3% of the heads are lost: trainer" in capsys.readouterr().err
    rows = json.loads((tmp_path / "out" / "function_heads.json").read_text())["rows"]
    assert [row["project"] for row in rows] == ["trainer", "validationer", "tester", "all"]
    assert (rows[-1]["functions"], rows[-1]["not_extracted"], rows[-1]["regex_heads"]) == (6, 3, 3)
    with (tmp_path / "out" / "lost_heads.csv").open() as file:
        lost = [(row["project"], row["line"], row["text"]) for row in csv.DictReader(file)]
    assert lost == [(f"{split}er", "11", "int four(void)") for split in ("train", "validation", "test")]


def test_without_ctags(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no program ctags.*universal-ctags"):
        main(write_list(tmp_path))
