"""The default folders of the stages' results."""

from ltp_pipeline.training.starts import hard_dir, stage_dir


def test_stage_folders_have_the_names_of_the_original():
    soft = stage_dir("checkpoints", "ltp-base", "CODE", "absolute_threshold", 0.01, 1e-5, 0.1, 2e-5)
    assert soft.as_posix() == (
        "checkpoints/base/CODE/absolute_threshold/rate_0.01/temperature_1e-05/lambda_0.1/lr_2e-05"
    )
    assert stage_dir("c", "ltp-large", "CODE", "m", 0.03, 1e-3, 0.0, 4e-5).parts[1] == "large"
    assert hard_dir(soft, 2e-5) == soft / "hard" / "lr_2e-05"
