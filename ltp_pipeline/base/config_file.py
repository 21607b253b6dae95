"""Flags from a file (`--config FILE`), in YAML or JSON: one mapping of the names of flags to their values.

Each value is read as the words that one would type after the flag. So `lr: 1e-4`, which YAML takes for a text, and
`eval_strategy: no`, which it takes for false, mean what they say.
"""

from __future__ import annotations

import json
from argparse import Action, ArgumentError, ArgumentParser
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.suggestions import did_you_mean, spellings

ENDINGS = (".yaml", ".yml", ".json")
NOT_RECORDED = ("overwrite_output_dir", "resume_from_checkpoint", "hub_token")
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a file of flags. Scalars are texts as they are written, in JSON numbers and truth values, too.

    Raises UserError if the file cannot be read or holds anything but one mapping.
    """
    given, path = path, Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"--config {given}: expected a file that ends with {', '.join(ENDINGS)}")
    language = "JSON" if path.suffix.lower() == ".json" else "YAML"
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a byte order mark
        flags = json.loads(text, object_pairs_hook=_without_repetition) if language == "JSON" else _parse_yaml(text)
        json.dumps(flags, default=str)  # a ValueError if an alias of YAML makes a value contain itself
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{path}: cannot be read as {language}: {why}") from error
    if not isinstance(flags, dict):
        example = '{"output_dir": "code_test"}' if language == "JSON" else "output_dir: code_test"
        raise UserError(f"{path}: expected one {language} object of flags, such as {example}")
    recorded = flags.get("flags")  # the run.json of a result
    return recorded if isinstance(recorded, dict) else flags


def _without_repetition(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """The pairs as a mapping. Raises ValueError if a key is there twice: one of the values would be lost."""
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{printable(str(key))} is there twice; expected each flag once")
    return dict(pairs)


def typed_flags(words: Sequence[str], parser: ArgumentParser) -> dict[str, Any]:
    """The flags of a command line as they can be written to a file of flags, without those of NOT_RECORDED.

    Absolute paths below the current folder become relative.
    """
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        action = parser._option_string_actions.get(name) if name.startswith("--") else None
        if action is None:
            values.append(_relative(word))
            continue
        name = spellings(action)[0].removeprefix("--")
        values = found.setdefault(name, [])
        if not _repeats(action):
            values.clear()
        if equals:
            values.append(_relative(value))
    return {
        name: True if not values else values[0] if len(values) == 1 else values
        for name, values in found.items()
        if name not in NOT_RECORDED
    }


def _relative(word: str) -> str:
    path = Path(word)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else word


def _repeats(action: Action) -> bool:
    return type(action).__name__ in ("_AppendAction", "_ExtendAction")


def config_words(
    path: str | Path, parser: ArgumentParser, given: Collection[str], mappings: Collection[str] = ()
) -> list[str]:
    """The flags in the file as words of a command line.

    Args:
        parser: of the command that gets the words.
        given: names of the parser's values that the command line gives: those in the file are left out.
        mappings: names of the parser's values that may be a mapping. The word is then JSON.

    Raises UserError for an unknown flag and for a value that the flag cannot have.
    """
    flags = {f"--{str(name).removeprefix('--')}": value for name, value in read_config(path).items()}
    actions = {name: action for name, action in parser._option_string_actions.items() if name.startswith("--")}
    known = [name for name, action in actions.items() if not getattr(action, "only_typed", False)]
    words: list[str] = []
    names: dict[str, str] = {}  # of the values that the file gives -> the flag that gives it
    for name, value in flags.items():
        where = f"{path}: {printable(name.removeprefix('--'))}"
        if name not in known:
            nearest = did_you_mean(name, known).replace("did you mean --", "did you mean ")
            raise UserError(f"{where}: {parser.prog} has no flag {printable(name)}{nearest}")
        if value is None:
            continue
        if (other := names.setdefault(actions[name].dest, name)) != name:
            raise UserError(f"{where}: is the same flag as {other.removeprefix('--')}; expected one of them")
        if actions[name].dest not in given:
            words += _words(name, actions[name], value, where, parser, mappings)
    return words


def _words(
    name: str, action: Action, value: Any, where: str, parser: ArgumentParser, mappings: Collection[str]
) -> list[str]:
    if action.nargs == 0:  # a flag without a value
        wanted = str(value).lower()
        if isinstance(value, list | dict) or wanted not in TRUE + FALSE:
            raise UserError(f"{where}: {_shown(value)}: expected true or false")
        return [name] if wanted in TRUE else []
    repeats = type(action).__name__ == "_AppendAction"  # each value has a flag of its own
    if isinstance(value, list) and not (repeats or action.nargs in ("+", "*") or isinstance(action.nargs, int)):
        raise UserError(f"{where}: {_shown(value)}: expected one value, not a list")
    texts = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and action.dest in mappings:
            item = json.dumps(item)
        if isinstance(item, list | dict) or item is None:
            expected = "one value, not a mapping" if isinstance(item, dict) else "a list of single values"
            raise UserError(f"{where}: {_shown(item)}: expected {expected}")
        if isinstance(item, bool) and getattr(action.type, "__name__", "") != "string_to_bool":
            raise UserError(f"{where}: {_shown(item)}: expected a text or a number")
        texts.append(str(item))
    groups = [[text] for text in texts] if repeats else [texts]
    for group in groups:
        try:
            parser._get_values(action, group)
            if not group and action.nargs == "+":
                raise ArgumentError(None, "expected at least one value")
        except ArgumentError as error:
            text = error.message
            raise UserError(
                f"{where.partition(': ')[0]}: {text}" if text.startswith("--") else f"{where}: {text}"
            ) from error
    # `--flag=-x`, because `-x` alone would be another flag
    return [
        word
        for group in groups
        for word in ([f"{name}={group[0]}"] if len(group) == 1 and group[0].startswith("-") else [name, *group])
    ]


def _shown(value: Any) -> str:
    return printable(json.dumps(value) if isinstance(value, dict | list | bool | None) else str(value))


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ValueError("the package PyYAML is missing") from error

    class TextLoader(yaml.SafeLoader):
        """Reads `null` and texts only."""

        yaml_implicit_resolvers = {
            first: [rule for rule in rules if rule[0] == "tag:yaml.org,2002:null"]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _without_repetition([(key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, TextLoader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
