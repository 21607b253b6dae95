"""What the results of a scan depend on."""

import shutil

from ltp_pipeline.scan.detection.identity import model_hash


def test_the_hash_of_a_model_is_that_of_what_is_read_of_it(pruned_checkpoint, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(pruned_checkpoint, copy)
    before = model_hash(str(copy))
    assert before == model_hash(str(pruned_checkpoint))
    for name in ("eval_results.json", "all_results.json", "trainer_state.json", "run.json"):
        (copy / name).write_text('{"eval_f1": 0.5}')
    assert model_hash(str(copy)) == before
    with (copy / "config.json").open("a") as config:
        config.write("\n")
    assert model_hash(str(copy)) != before
