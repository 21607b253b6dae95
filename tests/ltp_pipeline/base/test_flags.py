import json
from dataclasses import dataclass, field

import pytest
from transformers import TrainingArguments

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import parse_arguments


@dataclass
class Model:
    """Stands for the model's flags."""

    folder: str | None = field(default=None, metadata={"help": "Where the model is."})


@dataclass
class Training:
    """Stands for the flags of training, one of which has an alias."""

    weight_decay_threshold: float = field(default=0.0, metadata={"aliases": ["--weight_decay"], "help": "Decay."})
    label_names: list[str] | None = None
    do_train: bool = False
    epochs: int = field(default=3, metadata={"help": "Passes over the data."})

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"--epochs {self.epochs}: expected 1 or more")
        if self.label_names == ["x"]:
            names = "`do_train`, --do_train, /a/do_train, A.do_train, do_train.csv, not to_train or do_train."
            raise ValueError(f"label_names x: epochs needs {names}")


def _parse(*argv, command="-m something", **kwargs):
    description = "What it is for.\n\n    an example\n\nMore."
    return parse_arguments((Model, Training), argv, description, command, **kwargs)


def _shown(capsys, *argv, **kwargs):
    with pytest.raises(SystemExit) as end:
        _parse(*argv, **kwargs)
    shown = capsys.readouterr()
    return end.value.code, shown.out if end.value.code == 0 else shown.err


def test_flags_and_a_file_of_flags_mean_the_same(tmp_path):
    flags = {"folder": "m", "weight_decay": 0.5, "label_names": ["a", "b"], "do_train": True, "epochs": None}
    (tmp_path / "run.json").write_text(json.dumps(flags))
    expected = (Model(folder="m"), Training(weight_decay_threshold=0.5, label_names=["a", "b"], do_train=True))
    words = "--folder m --weight_decay 0.5 --label_names a b --do_train True".split()
    assert _parse(str(tmp_path / "run.json")) == _parse(*words) == expected
    assert _parse("--config", str(tmp_path / "run.json")) == expected


@pytest.mark.parametrize("text, message", [("{", "cannot be read as JSON"), ("[1]", "expected one JSON object")])
def test_a_bad_json_file_is_named(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=f"run.json: {message}"):
        _parse(str(tmp_path / "run.json"))


def test_arguments_without_a_flag():
    _, training, rest = _parse("a.json", positional={"FILES": {"nargs": "+"}})
    assert (training.epochs, rest.FILES) == (3, ["a.json"])


def test_unknown_and_abbreviated_flags_end_with_status_2(capsys):
    for flag in ("--epoch", "--epoxs"):
        status, shown = _shown(capsys, flag, "1")
        assert status == 2
        assert shown.splitlines() == [
            f"error: unrecognized argument {flag}; did you mean --epochs?",
            "python -m something --help lists the flags",
        ]


def test_a_value_that_a_dataclass_refuses_is_the_users_error():
    with pytest.raises(UserError, match="--epochs 0: expected 1 or more"):
        _parse("--epochs", "0")


def test_the_fields_that_a_dataclass_names_are_shown_as_flags():
    with pytest.raises(UserError) as error:
        _parse("--label_names", "x")
    needs = "`--do_train`, --do_train, /a/do_train, A.do_train, do_train.csv, not to_train or --do_train."
    assert str(error.value) == f"--label_names x: epochs needs {needs}"


def test_help_shows_the_description_and_defaults_that_are_values(capsys):
    status, shown = _shown(capsys, "--help")
    assert status == 0
    assert shown.startswith("usage: python -m something FLAGS\n\nWhat it is for.\n\nMore.\n")
    assert shown.endswith("\n\nexamples:\n    an example\n")
    assert "Passes over the data. (default: 3)" in shown
    assert "(default: None)" not in shown
    assert "(default: False)" not in shown


def test_flags_nested_deeply_are_an_error(tmp_path):
    file = tmp_path / "flags.json"
    file.write_text("[" * 100_000)
    with pytest.raises(UserError, match="flags.json.*nested too deeply"):
        _parse(str(file))


def test_help_leaves_out_the_flags_of_the_library_that_few_people_need(capsys):
    def shown(flag):
        with pytest.raises(SystemExit):
            parse_arguments((TrainingArguments,), [flag], "", "x.py")
        return capsys.readouterr().out

    short, full = shown("--help"), shown("--help_all")
    assert "--seed N" in short and "--seed N" in full
    assert "--adafactor" not in short and "--ddp_timeout" not in short
    assert "--ddp_timeout N" in full.partition("all other flags of the library's TrainingArguments:\n")[2]
    assert "--output-dir" not in full


def test_a_mapping_is_a_value_only_where_the_library_reads_one(tmp_path):
    file = tmp_path / "flags.yaml"
    file.write_text(f"output_dir: {tmp_path}\nlr_scheduler_kwargs: {{num_cycles: 2}}\nreport_to: none\nuse_cpu: yes\n")
    (args,) = parse_arguments((TrainingArguments,), ["--config", str(file)], "", "x.py")
    assert args.lr_scheduler_kwargs == {"num_cycles": 2}
    file.write_text("seed: {a: 1}\n")
    with pytest.raises(UserError, match=r'flags.yaml: seed: .*"a": "1".*: expected one value, not a mapping'):
        parse_arguments((TrainingArguments,), ["--config", str(file)], "", "x.py")
