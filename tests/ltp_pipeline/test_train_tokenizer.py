from transformers import AutoTokenizer

from ltp_pipeline.train_tokenizer import train_tokenizer


def test_special_tokens_have_the_ids_that_a_longformer_expects(tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id) == (0, 1, 2)
    assert tokenizer.model_max_length == 96
    assert 261 < len(tokenizer) <= 400


def test_any_text_is_decoded_again_and_frequent_pieces_are_one_token(tokenizer_dir):
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
