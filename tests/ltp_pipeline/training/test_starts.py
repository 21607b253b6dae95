"""The default folders of the stages' results."""

from types import SimpleNamespace

from ltp_pipeline.training.starts import hard_dir, stage_dir


def test_stage_folders_have_the_names_of_the_original():
    pruning = {"prune_mode": "absolute_threshold", "final_token_threshold": 0.01, "temperature": 1e-5}
    args = SimpleNamespace(lambda_threshold=0.1, learning_rate=2e-5, target_flops=None)
    soft = stage_dir("ltp-base", "CODE", pruning, args)
    assert soft.as_posix() == (
        "checkpoints/base/CODE/absolute_threshold/rate_0.01/temperature_1e-05/lambda_0.1/lr_2e-05"
    )
    assert stage_dir("ltp-large", "CODE", pruning, args).parts[1] == "large"
    assert hard_dir(soft, 2e-5) == soft / "hard" / "lr_2e-05"
