"""Flaw lines and pairs are read from the columns that the layout of a file names."""

import json
import re

from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import LAYOUT, Layout, flaw_lines_of, pairs_of


def read(tmp_path, content, name="in.csv"):
    (tmp_path / name).write_text(content)
    return read_functions(tmp_path / name)


def test_our_own_columns(tmp_path):
    header = "functionSource,label,id,cwes,project,path,first_line,flaw_lines,pair\n"
    frame = read(tmp_path, header + 'a,1,7,CWE-1 CWE-2,p,f.c,3,"9 2",x\nb,0,8,,p,f.c,5,,x\nc,0,9,,p,f.c,7,4,y\n')
    own = Layout("", "functionSource", "label", "id", "cwes", "project", "path", "first_line", "flaw_lines", "pair")
    assert frame.attrs[LAYOUT] == own
    assert flaw_lines_of(frame) == [(9, 2), (), (4,)]
    assert pairs_of(frame).tolist() == ["x", "x", ""]
    assert pairs_of(frame.head(1)).tolist() == [""]


def test_a_file_without_lines_and_pairs(tmp_path):
    frame = read(tmp_path, "code,label\na,1\n")
    assert flaw_lines_of(frame) is None and pairs_of(frame) is None
    frame = read(tmp_path, "code,label,finding_lines\na,1,3\nb,0,\n")
    assert flaw_lines_of(frame) == [(3,), ()]
    rows = [{"code": "a", "label": 1, "flaw_lines": [3, 1]}, {"code": "b", "label": 0, "flaw_lines": None}]
    assert flaw_lines_of(read(tmp_path, json.dumps(rows), "in.json")) == [(3, 1), ()]


def test_a_note_says_that_flaw_lines_are_no_numbers(tmp_path, capsys):
    frame = read(tmp_path, 'code,label,flaw_lines\na,1,3\nb,1,"line 2"\n')
    assert flaw_lines_of(frame) is None
    assert re.search("note: .*in.csv: 'flaw_lines' is not read: .* 3 17", capsys.readouterr().out)
    read(tmp_path, "code,label,flaw_lines\na,1,3\nb,0,\n")
    assert capsys.readouterr().out == ""
