"""Every input that a command cannot use ends with a message that names it, before any file is written."""

import json
import re
import shutil
from importlib.util import find_spec

import pytest
from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

from tests.ltp_pipeline.bad_flags import FLAG_CASES
from tests.ltp_pipeline.bad_inputs import CASES, SCRIPTS, documented, import_vdisc, keys, message
from tests.pruned_checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def checkpoints(longformer_dir, tmp_path_factory):
    """Good ones, `longformer` and `pruned`; `roberta`, which does not prune; `three` classes; `bare`: no config."""
    place = tmp_path_factory.mktemp("checkpoints")
    config = RobertaConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=130
    )
    RobertaForSequenceClassification(config).save_pretrained(place / "roberta")
    AutoTokenizer.from_pretrained(longformer_dir).save_pretrained(place / "roberta")
    shutil.copytree(longformer_dir, place / "three")
    config = json.loads((place / "three" / "config.json").read_text())
    names = {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    (place / "three" / "config.json").write_text(json.dumps({**config, **names}))
    (place / "bare").mkdir()
    save_checkpoint(place / "pruned")
    return {"longformer": longformer_dir, **{path.name: path for path in place.iterdir()}}


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{number + 1} {CASES[number].what}")
def test_the_message_says_what_the_docs_say(number, checkpoints):
    case = CASES[number]
    if case.run is import_vdisc and find_spec("h5py") is None:
        pytest.skip("h5py is not installed")
    script, what, text = documented()[number]
    assert (script, what) == (SCRIPTS[case.run], case.what)
    assert keys(message(case, checkpoints)) == keys(text)


@pytest.mark.parametrize("case", FLAG_CASES, ids=lambda case: case.what)
def test_the_message_names_the_flag_and_what_is_right(case, checkpoints):
    said = message(case, checkpoints)
    assert re.search(case.says, said, re.DOTALL), said


def test_the_table_in_the_docs_has_no_other_lines():
    assert len(documented()) == len(CASES)
