"""The command that converts a checkpoint: what it prints. bad_inputs.py has the flags that it refuses."""

from pathlib import Path

from huggingface_hub import metadata_load
from safetensors.torch import load_file
from transformers import AutoTokenizer

from ltp_pipeline.convert import main
from tests.ltp_pipeline.model.conftest import source_model
from transformer_revised import LTPConfig


def test_it_converts_and_says_what_the_result_is(tokenizer_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source_model("roberta", "ForTokenClassification").save_pretrained("source")
    AutoTokenizer.from_pretrained(tokenizer_dir).save_pretrained("source")
    Path("source/README.md").write_text("---\nbase_model: microsoft/codebert-base\nlicense: mit\n---\n")
    main("--model_name_or_path source --output_dir ltp --attention_window 16 --attention_probs_dropout_prob 0".split())
    shown = capsys.readouterr().out
    assert "LTPForTokenClassification for texts of up to 4096 tokens: ltp" in shown
    assert "source up to 9 tokens" in shown and "no classification head" in shown
    values = metadata_load("ltp/README.md")
    assert (values["pipeline_tag"], values["license"], values["tags"]) == ("token-classification", "mit", ["ltp"])
    assert values["base_model"] == "microsoft/codebert-base"
    card = Path("ltp/README.md").read_text()
    assert "Up to 9 tokens its outputs equal those of `source`" in card and str(tmp_path) not in card
    assert LTPConfig.from_pretrained("ltp").attention_probs_dropout_prob == 0
    assert len(load_file("ltp/model.safetensors")["longformer.embeddings.position_embeddings.weight"]) == 2 + 4096
