"""benchmarks.rank_teachers on a tiny model: what it times."""

from benchmarks import rank_teachers
from tests.ltp_pipeline.conftest import functions, save_longformer
from tests.pruned_checkpoint import make_tokenizer


def test_it_times_passes_and_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    functions(5).to_csv("train.csv", index=False)
    make_tokenizer().save_pretrained("tokenizer")
    save_longformer("tokenizer", "longformer")
    flags = "--restore longformer --train_file train.csv --max_train_samples 5 --max_seq_len 24 --rounds 2 --use_cpu"
    rank_teachers.main(f"{flags} --dtype float32 --bs 3 --target_flops 0.9".split())
    text = capsys.readouterr().out
    assert "120 tokens, float32 on cpu, 2 rounds" in text
    for run in ("soft epoch, no teacher", "hard epoch, column", "pass, attention", "epoch, relevance on the fly"):
        assert run in text
    assert text.count("1.00 (1.00 to 1.00)") == 2
