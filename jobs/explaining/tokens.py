"""A text as the tokens that a cell was trained on, with the characters that each stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.data.tokens import unknown_or_padding


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of one text, in order, special tokens included."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    """As the tokenizer writes them."""
    spans: tuple[tuple[int, int] | None, ...]
    """First and last + 1 character of the text; None: the token stands for none."""
    is_special: tuple[bool, ...]
    """Added around the text by the tokenizer; never masked, and without a value."""
    num_cut: int
    """Tokens of the text that were too many."""


def tokens_of(tokenizer: Any, text: str, *, max_length: int, side: str) -> Tokens:
    """Tokenise one text exactly as for training.

    Args:
        tokenizer: of `transformers`.
        text: not blank.
        max_length: most tokens, special ones included.
        side: right | left: which end of a text that is too long is cut off.
    """
    limit = min(max_length, int(tokenizer.model_max_length))
    before, tokenizer.truncation_side = tokenizer.truncation_side, side
    try:
        encoded = tokenizer(
            text,
            truncation=True,
            max_length=limit,
            return_special_tokens_mask=True,
            return_offsets_mapping=bool(tokenizer.is_fast),
            verbose=False,
        )
        whole = len(tokenizer(text, verbose=False)["input_ids"])
    finally:
        tokenizer.truncation_side = before
    ids = [int(token) for token in encoded["input_ids"]]
    if not ids:  # as in training, a text without any token has one that stands for nothing
        unknown = unknown_or_padding(tokenizer)
        piece = str(tokenizer.convert_ids_to_tokens(unknown))
        return Tokens(ids=(unknown,), pieces=(piece,), spans=(None,), is_special=(True,), num_cut=0)
    spans = encoded.get("offset_mapping") or [(0, 0)] * len(ids)
    return Tokens(
        ids=tuple(ids),
        pieces=tuple(str(piece) for piece in tokenizer.convert_ids_to_tokens(ids)),
        spans=tuple((int(start), int(end)) if end > start else None for start, end in spans),
        is_special=tuple(bool(mask) for mask in encoded["special_tokens_mask"]),
        num_cut=whole - len(ids),
    )


def stand_in(tokenizer: Any) -> int:
    """The token that takes a masked token's place: the mask token, else padding, end of text or unknown."""
    candidates = (tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, 0)
    return next(int(token) for token in candidates if token is not None)
