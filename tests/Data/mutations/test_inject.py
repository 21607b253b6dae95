"""Injected defects in whole data sets: the draw, the balance of the classes, and the builder's flag."""

import json
import re
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from Data.build_dataset import main
from Data.functions.labelling import LabelledFunction
from Data.mutations.draw import KINDS
from Data.mutations.inject import balance, drawn_function, drop_twins, inject
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.functions import Function, SourceFile, extract_functions
from tests.Data.test_build_dataset import NAMES, write_folders

FUNCTION = """int {name}(struct table *t, int count, int limit, char *first, char *second)
{{
    int total{number} = 0, step{number} = 1;
    char *copy = {name}_alloc(t, count), *other = {name}_alloc(t, limit);

    if (copy == NULL)
        return -1;
    if (other == NULL) {{
        free(copy);
        return -1;
    }}
    for (int i = 0; i {operator} count; i++) {{
        total{number} += {name}_step(t, step{number}, total{number}, i) + step{number};
        if (total{number} > limit)
            break;
    }}
    {name}_copy(first, second, 1, {number});
{more}    free(copy);
    free(other);
    return total{number} == limit ? {name}_end(first, second) : {number};
}}
"""


# What some functions have and others not, so that mutated functions find counterparts
MORE = (
    "    if (first != NULL && count >= limit)\n        second = first;\n",
    "    if (t->frozen)\n        return -2;\n    t->size = 4;\n",
    "    free(t->spare);\n    t->spare = 0;\n",
)


def source(project, count):
    """Functions in which each kind of mutation is possible. Their names differ, so that none is a near duplicate."""
    return "\n".join(
        FUNCTION.format(
            name=f"{project}_{number}",
            number=number,
            operator="<" if number % 2 else "<=",
            more="".join(text for bit, text in enumerate(MORE) if number >> bit + 1 & 1),
        )
        for number in range(2, count + 2)
    )


def functions(count=60, project="p"):
    found = extract_functions(SourceFile(project, f"{project}.c", source(project, count)))
    tokens = [code_tokens(one.source) for one in found]
    return [LabelledFunction(one, token_hash(own), len(own), ()) for one, own in zip(found, tokens)]


def drawn(given, seed=42, share=0.5):
    return [one for function in given if (one := drawn_function(function, seed, share))]


def test_the_draw_of_a_function_depends_on_its_tokens_and_the_seed_alone():
    given = functions()
    once = [(one.drawn, one.function.source) for one in drawn(given)]
    assert once == [(one.drawn, one.function.source) for one in drawn(given[::-1])][::-1]
    assert once[:20] == [(one.drawn, one.function.source) for one in drawn(given[:20])]
    assert once != [(one.drawn, one.function.source) for one in drawn(given, seed=43)]
    assert {one.drawn.site.kind for one in drawn(given)} == {kind.__name__ for kind in KINDS}


def test_a_mutated_function_has_one_finding_where_it_differs():
    originals = {one.function.first_line: one for one in functions()}
    for one in drawn(originals.values()):
        original = originals[one.function.first_line].function.source
        assert one.label == (one.function.source != original) == one.drawn.is_mutated
        if not one.label:
            continue
        assert one.token_hash not in {other.token_hash for other in originals.values()}
        assert {finding.rule for finding in one.findings} == {one.drawn.site.kind}
        lines = one.function.source.split("\n")
        if not one.drawn.site.kind.startswith("dropped"):
            before = original.split("\n")
            changed = [n for n, (old, new) in enumerate(zip(before, lines), 1) if old != new]
            assert len(before) == len(lines) and one.finding_lines == changed
        else:
            assert len(one.finding_lines) == 2 and one.finding_lines[1] - one.finding_lines[0] in (1, 2)
            assert all(lines[number - 1].strip() for number in one.finding_lines)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.8])
def test_the_classes_have_the_same_strata(share):
    given = drawn(functions(200), share=share)
    kept = balance(given, share)
    counts = Counter((one.stratum, one.label) for one in kept)
    for stratum in {stratum for stratum, _ in counts}:
        expected = counts[stratum, 1] * (1 - share) / share
        assert counts[stratum, 0] > 0 and abs(counts[stratum, 0] - expected) <= max(1, (1 - share) / share)
    assert 0 < len(kept) < len(given) and kept == [one for one in given if one in kept]


def test_another_function_changes_the_choice_little():
    given = drawn(functions(100))
    kept, smaller = ({one.token_hash for one in balance(each, 0.5)} for each in (given, given[:-1]))
    assert len(kept ^ smaller) <= 2


def test_a_mutated_function_with_the_tokens_of_another_is_left_out():
    given = functions(40)
    mutants = [one for one in drawn(given) if one.label]
    twin = LabelledFunction(Function("q", "q.c", 1, ""), mutants[0].token_hash, 0, ())
    assert mutants[0] not in drop_twins(mutants, [*given, twin])
    assert drop_twins(mutants, given) == mutants
    assert drop_twins([*mutants, mutants[1]], given) == [mutants[0], *mutants[2:]]


def test_two_branches_of_a_function_are_never_in_both_classes():
    available = {}
    for split in ("train", "validation", "test"):
        given, others = functions(60, split), functions(60, f"{split}_2")
        branches = [
            replace(other, function=replace(one.function, source=other.function.source))
            for one, other in zip(given, others)
        ]
        available[split] = [one for pair in zip(given, branches) for one in pair]
    inject_kept, _ = inject(available, 1, 0.5, 1, 1)
    for kept in inject_kept.values():
        places = [one.function.first_line for one in kept]
        assert len(places) == len(set(places)) > 0


def build(folder, *flags):
    folders = write_folders(folder, {f"{name}/{name}.c": source(name, 60) for name in ("one", "two", "three")})
    where = ["--cache_dir", str(folder / "cache"), "--output_dir", str(folder / "out"), "--near_duplicates", "1"]
    main([*folders, *where, "--defects", "injected", *flags])
    return [pd.read_csv(folder / "out" / name, dtype={"flaw_lines": str}, keep_default_na=False) for name in NAMES[:3]]


def test_the_builder_injects_defects(tmp_path, capsys):
    frames = build(tmp_path, "--workers", "1")
    columns = ["functionSource", "label", "project", "path", "first_line", "flaw_lines", "mutation"]
    places = set()
    originals = {f"{name}.c": source(name, 60).split("\n") for name in ("one", "two", "three")}
    for frame, project in zip(frames, ("one", "two", "three")):
        assert list(frame.columns) == columns and frame.label.mean() == 0.5
        assert set(frame.project.str.rpartition("/")[2]) == {project}
        assert set(frame.mutation) <= {kind.__name__ for kind in KINDS}
        assert (frame.flaw_lines.str.fullmatch(r"\d+( \d+)?") == (frame.label == 1)).all()
        names = frame.functionSource.str.extract(r"int (\w+)\(", expand=False)
        assert names.is_unique and places.isdisjoint(names)
        places |= set(names)
        for row in frame.itertuples():
            original = "\n".join(originals[row.path][row.first_line - 1 :]).startswith(row.functionSource)
            assert original == (row.label == 0)
    card = json.loads((tmp_path / "out" / "dataset_card.json").read_text())
    total = sum(count for row in card["injected"]["mutations"] for key, count in row.items() if key != "mutation")
    assert total == sum(map(len, frames)) and card["settings"]["defects"] == "injected"
    assert "train_mutated" in capsys.readouterr().out
    assert "## Injected defects" in (tmp_path / "out" / "README.md").read_text()
    lines = [json.loads(line) for line in (tmp_path / "out" / "findings.jsonl").read_text().splitlines()]
    assert {line["analyzer"] for line in lines} == {"injected"}
    again = build(tmp_path, "--workers", "2")
    assert all(one.equals(other) for one, other in zip(frames, again))


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--analyzers flawfinder", "--analyzers"),
        ("--findings_csv f.csv", "--findings_csv"),
        ("--group_columns", "--group_columns"),
        ("--max_negative_ratio 2", "--max_negative_ratio"),
        ("--granularity file", "--granularity file"),
        ("--language c python", "--language python"),
        ("--defect_share 1", "--defect_share 1.0"),
        ("--defect_share 0", "--defect_share 0.0"),
        ("--defect_share nan", "--defect_share nan"),
        ("--defects found --defect_share 0.5", "--defect_share"),
    ],
)
def test_wrong_flags(flags, says, tmp_path):
    with pytest.raises(UserError, match=f"{re.escape(says)}\\b"):
        main(["--defects", "injected", "--output_dir", str(tmp_path / "out"), *flags.split()])
    assert not (tmp_path / "out").exists()


def test_too_few_functions(tmp_path):
    folders = write_folders(tmp_path, {f"{name}/a.c": f"int {name}(int n) {{ return n; }}\n" for name in "abc"})
    where = ["--cache_dir", str(tmp_path / "cache"), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(UserError, match="--defects injected: no function is left for"):
        main([*folders, *where, "--defects", "injected"])
