import json
from dataclasses import dataclass, field

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.flags import parse_arguments, read_flags


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


def _parse(*argv, **kwargs):
    return parse_arguments((Model, Training), argv, "What it is for.\n\n    an example", **kwargs)


def test_flags_and_a_file_of_flags_mean_the_same(tmp_path):
    flags = {"folder": "m", "weight_decay": 0.5, "label_names": ["a", "b"], "do_train": True, "epochs": None}
    (tmp_path / "run.json").write_text(json.dumps(flags))
    expected = (Model(folder="m"), Training(weight_decay_threshold=0.5, label_names=["a", "b"], do_train=True))
    words = "--folder m --weight_decay 0.5 --label_names a b --do_train True".split()
    assert _parse(str(tmp_path / "run.json")) == _parse(*words) == expected


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
        with pytest.raises(SystemExit) as end:
            _parse(flag, "1", prog="python -m something")
        assert end.value.code == 2
        assert f"python -m something: error: unrecognized arguments: {flag} 1" in capsys.readouterr().err


def test_a_value_that_a_dataclass_refuses_is_the_users_error():
    with pytest.raises(UserError, match="--epochs 0: expected 1 or more"):
        _parse("--epochs", "0")


def test_help_shows_the_description_and_defaults_that_are_values(capsys):
    with pytest.raises(SystemExit) as end:
        _parse("--help")
    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert "What it is for.\n\n    an example" in shown
    assert "Passes over the data. (default: 3)" in shown
    assert "(default: None)" not in shown
    assert "(default: False)" not in shown


def test_flags_nested_deeply_are_an_error(tmp_path):
    file = tmp_path / "flags.json"
    file.write_text("[" * 100_000)
    with pytest.raises(UserError, match="flags.json.*nested too deeply"):
        read_flags([str(file)])
