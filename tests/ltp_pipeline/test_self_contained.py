"""Self-contained checkpoints load without this project; with it, its own classes are used and no other code runs."""

import errno
import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification, pipeline
from transformers.dynamic_module_utils import get_imports

import transformer_revised
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.convert import main as convert
from ltp_pipeline.model.checkpoints import load_config, load_pruning_model
from ltp_pipeline.model.self_contained import auto_map, make_self_contained
from ltp_pipeline.self_contained import main
from ltp_pipeline.training.how_to_load import how_to_load
from tests import loads_anywhere
from tests.ltp_pipeline.model.conftest import source_model
from tests.ltp_pipeline.training.conftest import FINE_TUNE, SOFT, digests, fine_tune, prune
from tests.pruned_checkpoint import make_tokenizer, save_checkpoint
from transformer_revised.models.auto.ltp_names import MODEL_CLASSES
from transformer_revised.models.ltp.model_code import code_files

CODE = [file.name for file in code_files()]
TEXT = "int f(int a) { return a; }"


def read_config(folder):
    return json.loads(Path(folder, "config.json").read_text())


def holds_code(folder):
    """Whether a checkpoint has exactly the present code, named by its config.json."""
    same = all(filecmp.cmp(file, Path(folder, file.name), shallow=False) for file in code_files())
    return same and read_config(folder)["auto_map"] == auto_map()


def python_files(folder):
    return [path.name for path in Path(folder).glob("*.py")]


def _no_repo(name, **_):
    return SimpleNamespace(repo_id=name)


def outputs(model, head):
    with torch.no_grad():
        output = model.eval()(loads_anywhere.inputs(head), output_pruning=True)
    return {name: value for name, value in output.items() if torch.is_tensor(value)}


@pytest.fixture(scope="module")
def loaded_elsewhere(tmp_path_factory):
    """What `loads_anywhere.py` has found in checkpoints of all heads, and of code that a user has changed."""
    place = tmp_path_factory.mktemp("elsewhere")
    root, settings = place / "checkpoints", {}
    for mode in ("pruned", "unpruned"):
        names = {"id2label": {0: "clean", 1: "defective"}, "label2id": {"clean": 0, "defective": 1}}
        folder = save_checkpoint(place / mode, prune_mode="absolute_threshold" if mode == "pruned" else None, **names)
        settings[mode] = transformer_revised.LTPConfig.from_pretrained(folder)
        make_self_contained(settings[mode])
    for head, (_, name) in MODEL_CLASSES.items():
        for mode, config in settings.items():
            torch.manual_seed(1)
            model = getattr(transformer_revised, name)(config)
            for offset in model.learned_thresholds():
                offset.data.fill_(0.15)
            folder = root / f"{head}-{mode}"
            model.save_pretrained(folder)
            make_tokenizer().save_pretrained(folder)
            torch.save(outputs(model, head), f"{folder}.pt")
    changed = shutil.copytree(
        root / "AutoModelForTokenClassification-pruned", root / "AutoModelForTokenClassification"
    )
    shutil.copy(f"{root}/AutoModelForTokenClassification-pruned.pt", f"{changed}.pt")
    with (changed / "modeling_ltp_heads.py").open("a") as file:
        file.write("\nSCALE = 2\n")
    environment = {**os.environ, "HF_HOME": str(place / "hub"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-I", loads_anywhere.__file__], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pruned", "unpruned"])
@pytest.mark.parametrize("head", MODEL_CLASSES)
def test_every_head_loads_without_the_project_and_computes_the_same(loaded_elsewhere, head, mode):
    found = loaded_elsewhere[f"{head}-{mode}"]
    assert found["missing"] == [] and found["equal"] and all(found["equal"].values())
    assert (found["class"], found["module"]) == (MODEL_CLASSES[head][1], "transformers_modules")
    assert found["one_config"] and found["saved_again"]
    assert found["tokens"] == make_tokenizer()(TEXT)["input_ids"]
    if head == "AutoModelForSequenceClassification":
        assert found["label"] in ("clean", "defective")


@pytest.mark.slow
def test_two_checkpoints_of_one_process_have_each_its_own_code(loaded_elsewhere):
    assert loaded_elsewhere["AutoModelForTokenClassification"]["scale"] == 2
    assert loaded_elsewhere["AutoModelForTokenClassification-pruned"]["scale"] is None


def test_the_code_imports_nothing_but_the_library_torch_and_what_these_need():
    outside = {name for file in code_files() for name in get_imports(file)} - sys.stdlib_module_names
    assert outside == {"torch", "transformers", "numpy", "huggingface_hub"}
    assert not [name for name in CODE if name.startswith(("pruning_", "rank_", "training_", "flops_"))]


@pytest.fixture
def checkpoint(pruned_checkpoint, tmp_path, monkeypatch):
    """`hard`, a checkpoint in the working directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(pruned_checkpoint, tmp_path / "hard")


def self_contained(flags="--output_dir to_share"):
    main(f"--model_name_or_path hard {flags}".split())


def arm(folder):
    """Makes each Python file write `executed` when it runs."""
    for file in Path(folder).glob("*.py"):
        file.write_text("open('executed', 'w').close()\nraise RuntimeError('executed')\n" + file.read_text())


def test_the_command_writes_what_others_need(checkpoint, capsys):
    (checkpoint / "training_args.bin").touch()
    own, shared = (how_to_load("LTPForSequenceClassification", "ltp", code) for code in (False, True))
    (checkpoint / "README.md").write_text(f"card\n\n{own}\n")
    self_contained()
    assert "loads by trust_remote_code=True: to_share" in capsys.readouterr().out
    expected = {path.name for path in checkpoint.iterdir()} - {"training_args.bin"} | set(CODE)
    assert {path.name for path in Path("to_share").iterdir()} == expected and holds_code("to_share")
    assert Path("to_share/README.md").read_text() == f"card\n\n{shared}\n"
    before, after = read_config(checkpoint), read_config("to_share")
    assert "auto_map" not in before and {**before, "auto_map": auto_map()} == after


def test_the_command_adds_code_in_place_and_renews_it(checkpoint):
    self_contained("")
    assert holds_code("hard")
    arm("hard")
    self_contained("")
    assert holds_code("hard") and not Path("executed").exists()


def test_a_card_of_somebody_else_stays_byte_for_byte(checkpoint):
    card = b"---\r\nlicense: mit\r\n---\r\n# caf\xe9\r\n"
    Path(checkpoint, "README.md").write_bytes(card)
    main(["--model_name_or_path", str(checkpoint)])
    assert Path(checkpoint, "README.md").read_bytes() == card
    assert holds_code(checkpoint)


def test_a_write_that_fails_changes_nothing(checkpoint, monkeypatch):
    self_contained("")
    before = digests("hard")

    def full(folder):
        Path(folder, "modeling_ltp.py").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transformer_revised.models.ltp.model_code.copy_code", full)
    with pytest.raises(UserError, match="hard: cannot be written: No space left on device"):
        self_contained("")
    with pytest.raises(UserError, match="--output_dir to_share: cannot be written: No space left on device"):
        self_contained()
    assert digests("hard") == before and not Path("to_share").exists()


def test_the_command_refuses_other_folders(checkpoint, longformer_dir):
    shutil.copytree(longformer_dir, "longformer")
    for name, pattern in (("longformer", "model type 'longformer'; expected an LTP"), ("none", "no such folder")):
        with pytest.raises(UserError, match=f"--model_name_or_path {name}: {pattern}"):
            main(["--model_name_or_path", name, "--output_dir", "to_share"])
    with pytest.raises(UserError, match="--output_dir hard: expected a new or an empty folder"):
        self_contained("--output_dir hard")
    assert not Path("to_share").exists()


@pytest.mark.parametrize("trust", [{}, {"trust_remote_code": True}, {"trust_remote_code": False}], ids=str)
def test_where_the_project_is_imported_its_own_classes_are_used(checkpoint, trust):
    self_contained()
    arm("to_share")
    model = AutoModelForSequenceClassification.from_pretrained("to_share", **trust)
    assert type(model) is transformer_revised.LTPForSequenceClassification
    assert type(model.config) is transformer_revised.LTPConfig
    pipe = pipeline("text-classification", "to_share", **trust)
    assert pipe(TEXT)[0]["score"] == pytest.approx(pipeline("text-classification", "hard")(TEXT)[0]["score"])
    assert not Path("executed").exists()


def test_a_model_that_is_saved_takes_its_code_along(checkpoint):
    self_contained()
    AutoModelForSequenceClassification.from_pretrained("to_share").save_pretrained("again")
    assert holds_code("again")
    AutoModelForSequenceClassification.from_pretrained("hard").save_pretrained("plain")
    assert "auto_map" not in read_config("plain") and not list(Path("plain").glob("*.py"))


def test_a_model_that_is_uploaded_takes_its_code_along(checkpoint, monkeypatch):
    self_contained()
    model, uploaded = AutoModelForSequenceClassification.from_pretrained("to_share"), []
    # The library uploads what is new since the folder was made. No hub is asked.
    monkeypatch.setattr(
        type(model), "_upload_modified_files", lambda self, folder, *_, **__: uploaded.extend(python_files(folder))
    )
    for name, fake in (("hf_api", lambda: SimpleNamespace(create_repo=_no_repo)), ("create_repo", _no_repo)):
        monkeypatch.setattr(transformers.modeling_utils, name, fake, raising=False)
    model.save_pretrained("again", push_to_hub=True)
    assert sorted(uploaded) == sorted(CODE)


def test_code_of_others_is_neither_run_nor_saved(checkpoint, longformer_dir):
    shutil.copytree(longformer_dir, "longformer")
    for name in ("hard", "longformer"):
        Path(name, "theirs.py").write_text("open('executed', 'w').close()\n")
        values = {**read_config(name), "auto_map": {"AutoConfig": "theirs.A", "AutoModel": "them/repo--theirs.B"}}
        Path(name, "config.json").write_text(json.dumps(values))
    load_pruning_model("longformer", flag="--restore").save_pretrained("a")
    load_pruning_model("hard", flag="--restore").save_pretrained("b")
    assert "auto_map" not in read_config("a") and holds_code("b")
    assert not Path("a/theirs.py").exists() and not Path("b/theirs.py").exists() and not Path("executed").exists()


def test_a_converted_checkpoint_names_no_code_of_its_source(tokenizer_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source_model("roberta", "ForSequenceClassification").save_pretrained("source")
    transformers.AutoTokenizer.from_pretrained(tokenizer_dir).save_pretrained("source")
    values = {**read_config("source"), "auto_map": {"AutoModel": "theirs.B"}}
    Path("source/config.json").write_text(json.dumps(values))
    convert("--model_name_or_path source --output_dir ltp --max_positions 64 --attention_window 16".split())
    assert "auto_map" not in read_config("ltp") and not hasattr(load_config("source", flag="--restore"), "auto_map")


@pytest.mark.slow
def test_the_stages_keep_the_code_and_run_none_of_a_checkpoint(files, longformer_dir, tmp_path, monkeypatch, capsys):
    from tests.ltp_pipeline.conftest import fill

    fill(tmp_path, files, longformer_dir)
    monkeypatch.chdir(tmp_path)
    fine_tune(f"{FINE_TUNE} --max_steps 4 --save_strategy steps --save_steps 2 --save_total_limit 3 --self_contained")
    assert holds_code("code_test") and holds_code("code_test/checkpoint-2")
    arm("code_test")
    prune(f"{SOFT} --max_steps 2 --output_dir soft")  # without the flag
    assert holds_code("soft") and not Path("executed").exists()
    fine_tune(f"{FINE_TUNE} --max_steps 1 --output_dir plain")
    assert not list(Path("plain").glob("*.py")) and "auto_map" not in read_config("plain")
