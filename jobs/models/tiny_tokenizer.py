"""The tokenizer of the tiny members: the built-in corpus' own words, single characters for the rest."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, FIRST, LAST, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_SPECIAL = (PAD, UNKNOWN, FIRST, LAST, MASK)
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def tiny_vocabulary(words: tuple[str, ...]) -> dict[str, int]:
    """Special tokens, characters, then words; an index depends on nothing but the word list."""
    tokens = [*_SPECIAL, *_CHARACTERS, *(f"##{c}" for c in _CHARACTERS), *words]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def save_tiny_tokenizer(folder: Path, words: tuple[str, ...], *, frame_texts: bool, max_length: int) -> int:
    """Write the tokenizer of a tiny member.

    Args:
        folder: the member's folder.
        words: the lexicon, sorted.
        frame_texts: put [CLS] and [SEP] around texts, as encoders expect.
        max_length: the member's number of positions.
    Returns:
        number of tokens it knows.
    Side effects:
        writes the tokenizer's files.
    """
    vocabulary = tiny_vocabulary(words)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=64))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if frame_texts:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{FIRST} $A {LAST}", special_tokens=[(FIRST, vocabulary[FIRST]), (LAST, vocabulary[LAST])]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=FIRST,
        sep_token=LAST,
        mask_token=MASK,
        padding_side="right",
        model_max_length=max_length,
    )
    fast.save_pretrained(folder)
    return len(vocabulary)
