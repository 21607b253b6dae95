"""A run that is resumed from a checkpoint ends as one that was not interrupted: bit for bit, log included."""

import shutil
from pathlib import Path

import pytest
import torch

import run_code_metrics
import run_glue_code_metrics
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.training import resume
from ltp_pipeline.training.resume import what_is_missing
from tests.ltp_pipeline.conftest import fill
from tests.ltp_pipeline.training.conftest import outcome

DATA = "--train_file train.csv --validation_file test.csv --seed 5"
TUNE = (
    f"{DATA} --model_name_or_path longformer --do_train --do_eval --max_seq_length 96 --learning_rate 1e-3 "
    "--per_device_train_batch_size 4 --save_strategy steps --save_total_limit 99"
)
PRUNE = f"{DATA} --restore longformer --lr 1e-3 --bs 4 --save_step 4 --logging_steps 3 --save_all --max_seq_len 96"
SOFT = f"{PRUNE} --temperature 0.1 --lambda 0.1 --final_token_threshold 0.9 --lr_threshold 0.01 --no_load"
LORA = "--lora_r 4 --lora_dropout 0.1"
RUNS = {
    # 24 functions: 6 batches an epoch, 18 steps. Every 4 steps is within an epoch, at the end of one (12, where
    # there is an evaluation as well) and at the end of the run. Losses are logged in between.
    "epochs": (run_glue_code_metrics.main, f"{TUNE} --save_steps 4 --logging_steps 3 --eval_strategy epoch"),
    # Two batches an update: 3 updates an epoch, 9 in all. The best of every 2 is kept.
    "best": (
        run_glue_code_metrics.main,
        f"{TUNE} --gradient_accumulation_steps 2 --load_best_model_at_end --eval_strategy steps --eval_steps 2 "
        "--save_steps 2 --early_stopping_patience 9",
    ),
    # The teacher of the ranking is the model that the run starts from, not that of the checkpoint.
    "budget": (
        run_code_metrics.main,
        f"{PRUNE} --masking_mode soft --no_load --target_flops 0.85 --temperature 0.1 --overwrite_cache",
    ),
    "tokens": (run_code_metrics.main, f"{SOFT} --masking_mode soft --max_tokens_per_batch 300"),
    # Hard from step 9 on
    "mixed": (run_code_metrics.main, f"{SOFT} --masking_mode mixed --rank_distillation 0.5 --overwrite_cache"),
    "lora_best": (
        run_glue_code_metrics.main,
        f"{TUNE} --load_best_model_at_end --eval_strategy steps --eval_steps 4 --save_steps 4 {LORA}",
    ),
    "lora_mixed": (
        run_code_metrics.main,
        f"{SOFT} --masking_mode mixed --rank_distillation 0.5 --gradient_checkpointing {LORA}",
    ),
}
RESUMED = [
    *(("epochs", step) for step in (4, 12, 18)),
    *(("best", step) for step in (2, 6)),
    ("budget", 8),
    *(("tokens", step) for step in (8, 12)),
    *(("mixed", step) for step in (8, 12)),
    ("lora_best", 12),
    ("lora_mixed", 8),
]


@pytest.fixture(scope="module")
def place(files, longformer_dir, tmp_path_factory):
    """The working directory of this module's runs; each is made once, by the first test that needs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(fill(tmp_path_factory.mktemp("resume"), files, longformer_dir))
        yield Path.cwd()


def run(name, output_dir, flags=""):
    main, own = RUNS[name]
    main(f"{own} --output_dir {output_dir} {flags}".split())


def straight(name):
    if not Path(name).exists():
        run(name, name)
    return name


def interrupted(name, step, output_dir):
    """What a run that was killed after `step` leaves: its checkpoints up to there."""
    work = Path(f"{output_dir}.unfinished")
    work.mkdir()
    for checkpoint in resume.checkpoints_in(Path(straight(name))):
        if int(checkpoint.name.partition("-")[2]) <= step:
            shutil.copytree(checkpoint, work / checkpoint.name)
    shutil.copy(Path(straight(name), "run.json"), work)
    return work


@pytest.mark.parametrize("name, step", RESUMED)
def test_resumed_is_as_uninterrupted(place, name, step):
    output = f"{name}-{step}"
    interrupted(name, step, output)
    run(name, output, "--resume_from_checkpoint last")
    assert outcome(output) == outcome(name)
    assert {p.name for p in resume.checkpoints_in(Path(output))} == {p.name for p in resume.checkpoints_in(Path(name))}


def test_dropout_makes_a_difference_that_the_comparison_would_see(place):
    """The runs above are equal because random states are restored, not because nothing is random."""
    interrupted("epochs", 4, "other")
    path = Path("other.unfinished/checkpoint-4/rng_state.pth")
    state = torch.load(path, weights_only=False)
    state["cpu"] = torch.get_rng_state()
    torch.save(state, path)
    run("epochs", "other", "--resume_from_checkpoint last")
    assert outcome("other")["weights"] != outcome("epochs")["weights"]


def test_from_a_folder_elsewhere_with_the_best_checkpoint_of_its_run(place):
    moved = interrupted("best", 6, "first").rename("moved")
    best = resume.best_checkpoint(moved / "checkpoint-6")
    run("best", "elsewhere", f"--resume_from_checkpoint {moved}/checkpoint-6")
    assert outcome("elsewhere") == outcome("best")
    assert (place / "elsewhere" / best.name / "model.safetensors").is_file()
    (moved / best.name / "model.safetensors").unlink()
    with pytest.raises(UserError, match="--resume_from_checkpoint moved/checkpoint-6"):
        run("best", "third", f"--resume_from_checkpoint {moved}/checkpoint-6")


def test_a_run_that_stopped_early_stays_stopped(place):
    flags = "--early_stopping_patience 1 --early_stopping_threshold 1"  # nothing is better by so much
    run("best", "early", flags)
    stopped = outcome("early")
    assert stopped["log"][-1]["step"] == 4  # The first evaluation, at 2, is the best; the second is not better.
    assert Path("early/checkpoint-4").is_dir()
    shutil.copytree("early", "again.unfinished")
    run("best", "again", f"{flags} --resume_from_checkpoint True")
    assert outcome("again") == stopped


@pytest.mark.parametrize(
    "name, damage, said",
    [
        ("trainer_state.json", "cut", "trainer_state.json is missing or cut off"),
        ("trainer_state.json", "remove", "trainer_state.json is missing or cut off"),
        ("optimizer.pt", "cut", "optimizer.pt is missing or cut off"),
        ("scheduler.pt", "remove", "scheduler.pt is missing or cut off"),
        ("rng_state.pth", "cut", "rng_state.pth is missing or cut off"),
        ("model.safetensors", "cut", "model.safetensors is cut off"),
        ("model.safetensors", "remove", "model.safetensors is missing"),
    ],
)
def test_what_a_kill_leaves_half_written_is_not_taken(place, tmp_path, capsys, name, damage, said):
    work = shutil.copytree(straight("epochs"), tmp_path / "out.unfinished")
    capsys.readouterr()
    newest = work / "checkpoint-18" / name
    if damage == "cut":
        newest.write_bytes(newest.read_bytes()[: newest.stat().st_size * 2 // 3])
    else:
        newest.unlink()
    assert resume.find_checkpoint("last", tmp_path / "out") == work / "checkpoint-16"
    assert capsys.readouterr().out == f"{work / 'checkpoint-18'} is not complete: {said}\n"
    with pytest.raises(UserError, match=f"{said}.*checkpoint-16"):
        resume.find_checkpoint(str(work / "checkpoint-18"), tmp_path / "out")


def test_each_process_needs_its_random_state(place, tmp_path):
    checkpoint = shutil.copytree(Path(straight("epochs"), "checkpoint-4"), tmp_path / "checkpoint-4")
    assert resume.what_is_missing(checkpoint, processes=2) == "rng_state_0.pth is missing or cut off"
    for rank in range(2):
        shutil.copy(checkpoint / "rng_state.pth", checkpoint / f"rng_state_{rank}.pth")
    assert resume.what_is_missing(checkpoint, processes=2) is None


def test_without_a_complete_checkpoint_it_starts_over(place, capsys):
    work = interrupted("epochs", 4, "over")
    (work / "checkpoint-4" / "trainer_state.json").unlink()
    run("epochs", "over", "--resume_from_checkpoint last")
    assert "no complete checkpoint in over.unfinished" in capsys.readouterr().out
    assert outcome("over") == outcome("epochs")


def test_what_came_after_the_checkpoint_is_left_behind(place, tmp_path):
    work = interrupted("epochs", 12, "after")
    (work / "checkpoint-4" / "model.safetensors").unlink()
    with pytest.raises(ZeroDivisionError), resume.resumed_result(Path("after"), work / "checkpoint-8") as folder:
        assert folder == work
        assert [path.name for path in resume.checkpoints_in(folder)] == ["checkpoint-8"]
        raise ZeroDivisionError
    shutil.rmtree(work)


@pytest.mark.parametrize(
    "state", ["[" * 100_000, "[]", '{"global_step": 5}', '{"global_step": 5, "epoch": 1, "best_model_checkpoint": []}']
)
def test_a_damaged_state_is_a_checkpoint_that_is_not_complete(tmp_path, state):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5/trainer_state.json").write_text(state)
    assert what_is_missing(tmp_path / "checkpoint-5") == "trainer_state.json is missing or cut off"
