"""The classes in a configuration have the names of the task, and other names are not passed over in silence."""

import json

import pytest

from ltp_pipeline.model.checkpoints import load_config, load_pruning_model, load_tokenizer
from ltp_pipeline.model.starting_model import ModelArguments, load_classifier
from ltp_pipeline.task.class_names import one_word_each
from ltp_pipeline.task.tasks import CODE, TASKS, find_task


@pytest.fixture
def named(longformer_dir, tmp_path):
    """Makes a copy of the tiny Longformer whose config.json has other values."""

    def copy(**values):
        folder = tmp_path / "checkpoint"
        folder.mkdir()
        for file in longformer_dir.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))
        return folder

    return copy


def fine_tuned(folder, task=CODE, trains=True):
    tokenizer = load_tokenizer(folder, flag="--model_name_or_path")
    return load_classifier(ModelArguments(str(folder)), tokenizer, new_head=trains, task=task)


def by_number(*names):
    return {"id2label": {str(i): n for i, n in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)}}


FOREIGN = [
    ("VULNERABLE", "SAFE"),
    ("POSITIVE", "NEGATIVE"),
    ("defective", "clean"),
    ("sauber", "fehlerhaft"),
    ("", "x"),
]


@pytest.mark.parametrize("names", FOREIGN)
@pytest.mark.parametrize("trains", [True, False])
def test_names_of_another_task_are_replaced_with_a_note(names, trains, named, capsys):
    config = fine_tuned(named(**by_number(*names)), trains=trains).config
    assert config.id2label == {0: "clean", 1: "defective"}
    assert config.label2id == {"clean": 0, "defective": 1}
    out = capsys.readouterr().out
    assert f"0 {names[0]}, 1 {names[1]}; here they mean 0 clean, 1 defective" in out
    assert out.count("note:") == 1 and "checkpoint" in out


@pytest.mark.parametrize("names", [("LABEL_0", "LABEL_1"), ("0", "1"), ("Clean", "Defective"), ("class 0", "class 1")])
def test_names_without_another_meaning_need_no_note(names, named, capsys):
    assert fine_tuned(named(**by_number(*names))).config.id2label == {0: "clean", 1: "defective"}
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "names", [("benign", "malicious"), ("Safe", "Vulnerable"), ("not-vulnerable", "vulnerable"), ("good", "bad")]
)
@pytest.mark.parametrize("trains", [True, False])
def test_names_that_say_the_same_are_kept(names, trains, named, capsys):
    folder = named(**by_number(*names))
    assert fine_tuned(folder, trains=trains).config.id2label == dict(enumerate(names))
    assert load_pruning_model(folder, flag="--restore", task=CODE).config.label2id == {names[0]: 0, names[1]: 1}
    assert "note:" not in capsys.readouterr().out


WORDS = [
    ([("malicious", 1), ("benign", 0), ("Malicious ", 1)], ("benign", "malicious")),
    ([("ok", 0), ("bug", 1)], ("ok", "bug")),
    ([("ok", 0), ("fine", 0), ("bug", 1)], None),
    ([("same", 0), ("same", 1)], None),
    ([("0", 0), ("1", 1)], None),
    ([("false", 0), ("true", 1)], None),
    ([("label_0", 0), ("label_1", 1)], None),
    ([(0, 0), (1, 1)], None),
    ([("[0]", 0), ("[1]", 1)], None),
    ([("bug", 1)], None),
    ([("none", -1)], None),
    ([], None),
]


@pytest.mark.parametrize("words, names", WORDS)
def test_words_of_the_data_that_can_be_names(words, names):
    assert one_word_each(words) == names


def test_names_cannot_control_a_terminal(named, capsys):
    fine_tuned(named(**by_number("a\x1b[2J\nb", "x" * 1000)))
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    assert len(notes) == 1 and "0 a\\x1b[2J\\nb, 1 xxx" in notes[0] and len(notes[0]) < 500


def test_the_saved_result_has_the_names(named, tmp_path):
    fine_tuned(named(**by_number("VULNERABLE", "SAFE"))).save_pretrained(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "clean", "1": "defective"}
    assert config["label2id"] == {"clean": 0, "defective": 1}


def test_label2id_that_contradicts_id2label_is_replaced(named):
    values = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"LABEL_0": 1, "LABEL_1": 0}}
    config = fine_tuned(named(**values)).config
    assert config.label2id == {name: number for number, name in config.id2label.items()}


def test_three_names_give_a_new_head(named, capsys):
    folder = named(**by_number("a", "b", "c"))
    assert fine_tuned(folder).config.id2label == {0: "clean", 1: "defective"}


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.labels], ids=lambda task: task.name)
def test_each_task_has_its_names(task, named):
    config = fine_tuned(named(), task).config
    assert len(config.id2label) == len(config.label2id) == task.num_labels
    assert task is CODE or list(config.id2label.values()) == list(task.labels)


def test_classes_in_another_order_than_those_of_the_task(named, capsys):
    folder = named(**by_number("not_entailment", "entailment"))
    fine_tuned(folder, find_task("RTE", "--task_name"), trains=False)
    assert "0 not_entailment, 1 entailment; here they mean 0 entailment, 1 not_entailment" in capsys.readouterr().out


def test_the_loss_is_that_of_the_task(named):
    folder = named(problem_type="regression")
    assert fine_tuned(folder).config.problem_type == "single_label_classification"
    model = load_pruning_model(folder, flag="--restore", task=CODE)
    assert model.config.problem_type == "single_label_classification"
    assert model.config.id2label == {0: "clean", 1: "defective"}


def test_a_decision_threshold_of_another_task_is_not_used(named, capsys):
    folder = named(model_type="ltp", prune_mode=None, decision_threshold=0.75)
    assert load_config(folder, flag="--restore").decision_threshold == 0.75
    assert fine_tuned(folder, trains=False).config.decision_threshold == 0.75
    assert fine_tuned(folder, find_task("RTE", "--task_name"), trains=False).config.decision_threshold is None
    assert "decision threshold 0.75" in capsys.readouterr().out
