import pytest
from transformers import AutoTokenizer

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.train_tokenizer import main, train_tokenizer


def test_special_tokens_lie_where_a_longformer_expects_them(tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id) == (0, 1, 2)
    assert tokenizer.model_max_length == 96
    assert 261 < len(tokenizer) <= 400


def test_any_text_survives_and_frequent_pieces_are_one_token(tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    code = '\tstrcpy(buffer, "é𝄞\\0");  // \x01 \r\n'
    ids = tokenizer(code)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == code
    assert "buffer" in tokenizer.convert_ids_to_tokens(ids)
    assert tokenizer.unk_token_id not in ids


def test_the_same_texts_give_the_same_tokenizer():
    texts = ["int strlen_of_name(void);", "char *name = strlen(buffer);", "int name;"] * 3
    first, second = (train_tokenizer(texts, 300, 64) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--vocab_size", "260"], "--vocab_size 260: expected 261 or more"),
        (["--max_length", "2"], "--max_length 2: expected 3 or more"),
        (["--train_file", "none.csv"], "--train_file none.csv: no such file"),
    ],
)
def test_bad_flags_are_named(files, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        main(["--train_file", str(files["train"]), "--output_dir", str(tmp_path / "t"), *flags])


def test_a_place_that_cannot_be_written_is_named(files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output_dir"):
        main(["--train_file", str(files["train"]), "--output_dir", str(tmp_path / "file" / "t")])
