"""The plug-in: what `import transformer_revised` registers."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import transformers
from transformers import AutoConfig, AutoTokenizer, RobertaTokenizer
from transformers.models.auto import modeling_auto

import transformer_revised
from tests.transformer_revised.models.ltp.tiny import TINY
from transformer_revised.models.auto import installed
from transformer_revised.models.auto.ltp_names import MODEL_CLASSES, PUBLIC_NAMES

ROOT = Path(__file__).parents[4]


def test_every_name_resolves():
    assert PUBLIC_NAMES[0] == "LTPConfig" and {"LTPTrainer", "LTPTrainingArguments"} < set(PUBLIC_NAMES)
    for name in PUBLIC_NAMES:
        assert getattr(transformer_revised, name).__name__ == name
    assert set(PUBLIC_NAMES) <= set(dir(transformer_revised))
    with pytest.raises(AttributeError, match="module 'transformer_revised' has no attribute 'LTPForEverything'"):
        _ = transformer_revised.LTPForEverything


@pytest.mark.parametrize("auto_name", MODEL_CLASSES)
def test_auto_class(auto_name, tmp_path):
    table, class_name = MODEL_CLASSES[auto_name]
    auto_class, model_class = getattr(transformers, auto_name), getattr(transformer_revised, class_name)
    assert auto_class._model_mapping._model_mapping is getattr(modeling_auto, table)
    model = auto_class.from_config(AutoConfig.for_model("ltp", **TINY))
    assert type(model) is model_class and type(model.config) is transformer_revised.LTPConfig
    model.save_pretrained(tmp_path)
    assert type(auto_class.from_pretrained(tmp_path)) is model_class


def test_tokenizer_and_pipeline(tmp_path, caplog):
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "ab"]
    tokenizer = RobertaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[("a", "b")])
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()  # so that only the model type tells which class it is
    transformer_revised.LTPForSequenceClassification(transformer_revised.LTPConfig(**TINY)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is RobertaTokenizer and loaded("abab").input_ids == [0, 7, 7, 2]
    classify = transformers.pipeline("text-classification", model=str(tmp_path), device="cpu")
    assert classify("abab")[0]["label"] in ("LABEL_0", "LABEL_1") and "not supported" not in caplog.text


def test_a_warning_where_the_installed_files_differ(tmp_path, monkeypatch):
    ours = Path(installed.__file__).parents[2]
    package = tmp_path / "transformers"
    for file in [*ours.glob("models/ltp/*.py"), *ours.glob("train*_ltp.py")]:
        target = package / file.relative_to(ours)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    spec = type("Spec", (), {"origin": str(package / "__init__.py")})
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        installed.use_installed()
    (package / "trainer_ltp.py").write_text("old")
    (package / "models/ltp/modeling_ltp.py").unlink()
    with pytest.warns(UserWarning, match="other versions of models/ltp/modeling_ltp.py, trainer_ltp.py than this"):
        installed.use_installed()


PROGRAM = """
{before}
import sys, transformer_revised
assert ("transformers.models.auto.modeling_auto" in sys.modules) == {imported}
from transformers import AutoConfig, AutoModel
model = AutoModel.from_config(AutoConfig.for_model("ltp", **{small}))
assert type(model) is transformer_revised.LTPModel
assert (transformer_revised.LTPConfig in AutoModel._model_mapping._extra_content) == {classes}
"""
OTHER_TABLES = """
import types
from transformers.models.auto import modeling_auto
modeling_auto.MODEL_MAPPING_NAMES = types.MappingProxyType(modeling_auto.MODEL_MAPPING_NAMES)
"""


@pytest.mark.parametrize(
    ("before", "imported", "classes"),
    [("", False, False), (OTHER_TABLES, True, True)],
    ids=["tables imported later get the names", "a library with other tables gets the classes"],
)
def test_registration(before, imported, classes):
    program = PROGRAM.format(before=before, imported=imported, classes=classes, small=TINY)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ("has other tables of Auto classes" in done.stderr) == classes, done.stderr


def test_the_librarys_name_for_the_modules_gives_these():
    from transformers.models.ltp import LTPModel
    from transformers.models.ltp.modeling_ltp import LTPModel as same
    from transformers.trainer_ltp import LTPTrainer

    assert LTPModel is same is transformer_revised.LTPModel and LTPTrainer is transformer_revised.LTPTrainer
    assert LTPModel.__module__ == "transformer_revised.models.ltp.modeling_ltp"
