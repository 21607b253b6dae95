"""The importer of VDISC's HDF5 files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import strategies as st

from Data import import_vdisc
from Data.sources.vdisc_files import GROUPS, TEXT
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.files.file_formats import read_table
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import changed, code, encoded

h5py = pytest.importorskip("h5py")

TEXTS = st.lists(st.one_of(encoded(code(max_size=5)), st.sampled_from([b"", b" ", b"\xff"])), max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vdisc")


def write_hdf5(path, texts, kind, groups, wrong: int) -> None:
    """A file as VDISC publishes it; `wrong` chooses what is different."""
    n = len(texts)
    with h5py.File(path, "w") as file:
        text = np.array([text.replace(b"\0", b"") for text in texts], dtype=object)
        if wrong == 1:
            file.create_group(TEXT)
        elif wrong == 2:
            file.create_dataset(TEXT, data=np.array(b"x", dtype="S1"))
        elif wrong == 3:
            file.create_dataset(TEXT, data=np.zeros((n, 2)))
        elif wrong == 4:
            file[TEXT] = h5py.SoftLink("/nowhere")
        elif wrong == 5:
            file[TEXT] = h5py.ExternalLink("missing.hdf5", "/x")
        elif wrong == 6:
            file.create_dataset(TEXT, data=text.reshape(n, 1), dtype=h5py.string_dtype())
        else:
            file.create_dataset(TEXT, data=text, dtype=h5py.string_dtype(), chunks=(1,) if n and wrong == 7 else None)
        for number, name in enumerate(GROUPS):
            values = np.array([row[number] for row in groups[:n]] + [0] * (n - len(groups)), dtype=kind)
            if wrong == 6:
                values = values.reshape(n, 1)
            if wrong == 2:
                values = values[:1].reshape(()) if n else np.array(0, dtype=kind)
            file.create_dataset(name, data=values)


@fuzz(
    texts=TEXTS,
    kind=st.sampled_from(["bool", "int8", "int64", "uint8", "float32"]),
    groups=st.lists(st.lists(st.integers(-1, 2), min_size=5, max_size=5), max_size=4),
    wrong=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]),
    changes=st.one_of(st.none(), changed(st.just(bytes(3000)))),
    form=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]),
    label=st.sampled_from(["any", "groups", GROUPS[0]]),
)
def test_import(folder, texts, kind, groups, wrong, changes, form, label):
    path = folder / "a.hdf5"
    path.unlink(missing_ok=True)
    groups = [[value % 2 if kind in ("bool", "uint8") else value for value in row] for row in groups]
    write_hdf5(path, texts, kind, groups, wrong)
    if changes is not None:  # the changes of zeros, in another file
        content = path.read_bytes()
        places = [i for i, byte in enumerate(changes[: len(content)]) if byte]
        damaged = bytearray(content)
        for i in places:
            damaged[i * 7 % len(content)] ^= changes[i]
        path.write_bytes(bytes(damaged[: max(8, len(content) - len(changes) % 50)]))
    target = folder / "out"
    try:
        import_vdisc.main([str(path), "--output_dir", str(target), "--format", form, "--label", label])
    except UserError as error:
        assert "a.hdf5" in str(error)
        return
    table = read_table(target / f"a.{form}", "", as_text=["functionSource"])
    counts = json.loads((target / "import.json").read_text())["files"][0]
    assert len(table) == counts["functions"]
    if changes is None:
        expected = [text.replace(b"\0", b"").decode("utf-8", "replace") for text in texts]
        assert [text.replace("\0", "") for text in table["functionSource"]] == [
            text for text in expected if text.strip()
        ]
        if label != "groups":
            assert set(table["label"].astype(int)) <= {0, 1}
