"""Texts to token ids, once for each tokenizer and text: kept in the process and in the cache folder.

Too long texts lose their right end and are counted. Texts that give no token get one (the unknown token, else
the padding token) and are counted, because a row of length zero breaks every model.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.data.diskcache import read_cached, write_cached
from jobs.errors import DataError

Int32 = NDArray[np.int32]

_MAX_KEPT_TOKENS = 20_000_000
"""Over all tokenizers of the process: 80 MB. When it is exceeded, all are forgotten."""
_LOCK = threading.Lock()
_SHELVES: dict[tuple[str, int], dict[str, _Encoded]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoded:
    ids: Int32
    is_truncated: bool
    is_empty: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenisedTexts:
    """Token ids of texts, in their order."""

    ids: tuple[Int32, ...]
    """[tokens] each, at least one; read-only and shared between equal texts."""
    num_truncated: int
    """Texts that were cut at the right."""
    num_empty: int
    """Texts that gave no token and got one."""


def tokenise(
    tokenizer: Any, key: str, texts: Sequence[str], *, max_length: int, cache: Path | None, side: str = "right"
) -> TokenisedTexts:
    """Turn texts into token ids.

    Args:
        tokenizer: a tokenizer of `transformers`; its own special tokens are added.
        key: identifies the tokenizer's content, such as id and commit, or a hash of its files.
        texts: already checked; no lone surrogates.
        max_length: most tokens a text may keep, special tokens included.
        cache: folder for files; None: process only.
        side: right | left: which end of a text that is too long is cut off.

    Returns:
        ids and counts.

    Raises:
        DataError: max_length leaves no room for a token of the text.
    """
    limit = min(max_length, int(tokenizer.model_max_length))
    if limit <= (num_special := int(tokenizer.num_special_tokens_to_add())):
        raise DataError(
            f"recipe.max_length = {max_length}: must be above {num_special}, this tokenizer's special tokens"
        )
    key = key if side == "right" else f"{key} cut at the {side}"
    with _LOCK:
        if sum(len(shelf) for shelf in _SHELVES.values()) * limit > _MAX_KEPT_TOKENS:
            _SHELVES.clear()
        shelf = _SHELVES.setdefault((key, limit), {})
        missing = [text for text in dict.fromkeys(texts) if text not in shelf]
        if missing:
            shelf.update(zip(missing, _load_or_encode(tokenizer, key, missing, limit, cache, side), strict=True))
        encoded = [shelf[text] for text in texts]
    return TokenisedTexts(
        ids=tuple(item.ids for item in encoded),
        num_truncated=sum(item.is_truncated for item in encoded),
        num_empty=sum(item.is_empty for item in encoded),
    )


def _load_or_encode(
    tokenizer: Any, key: str, texts: list[str], limit: int, cache: Path | None, side: str
) -> list[_Encoded]:
    if cache is None:
        return _encode(tokenizer, texts, limit, side)
    path = cache / "tokens" / f"{_file_key(key, texts, limit)}.safetensors"
    if (body := read_cached(path)) is not None:
        return _unpacked(body)
    encoded = _encode(tokenizer, texts, limit, side)
    write_cached(path, _packed(encoded))
    return encoded


def _encode(tokenizer: Any, texts: list[str], limit: int, side: str) -> list[_Encoded]:
    before, tokenizer.truncation_side = tokenizer.truncation_side, side
    try:
        rows = _ids(tokenizer, texts, truncation=True, max_length=limit)
        # Only rows of full length can have been cut: their true length tells.
        full = [index for index, ids in enumerate(rows) if len(ids) == limit]
        lengths = [len(ids) for ids in _ids(tokenizer, [texts[index] for index in full])] if full else []
    finally:
        tokenizer.truncation_side = before
    is_truncated = dict(zip(full, (length > limit for length in lengths), strict=True))
    stand_in = unknown_or_padding(tokenizer)
    return [
        _Encoded(ids=_frozen(ids or [stand_in]), is_truncated=is_truncated.get(index, False), is_empty=not ids)
        for index, ids in enumerate(rows)
    ]


def _ids(tokenizer: Any, texts: list[str], **options: Any) -> list[list[int]]:
    # verbose=False: a text above the model's length is what is being found out here, not a fault.
    encoded = tokenizer(texts, return_attention_mask=False, return_token_type_ids=False, verbose=False, **options)
    rows: list[list[int]] = encoded["input_ids"]
    return rows


def unknown_or_padding(tokenizer: Any) -> int:
    """The token of a text that gives none."""
    candidates = (tokenizer.unk_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(token) for token in candidates if token is not None)


def _file_key(key: str, texts: Sequence[str], limit: int) -> str:
    digest = hashlib.sha256(f"{len(key)}:{key}:{limit}".encode())
    for text in texts:
        data = text.encode("utf-8", errors="surrogatepass")
        digest.update(b"%d:%s" % (len(data), data))
    return digest.hexdigest()


def _packed(encoded: Sequence[_Encoded]) -> bytes:
    from safetensors.numpy import save

    body: bytes = save(
        {
            "ids": np.concatenate([item.ids for item in encoded]),
            "lengths": np.array([len(item.ids) for item in encoded], dtype=np.int32),
            "truncated": np.array([item.is_truncated for item in encoded], dtype=np.uint8),
            "empty": np.array([item.is_empty for item in encoded], dtype=np.uint8),
        }
    )
    return body


def _unpacked(body: bytes) -> list[_Encoded]:
    from safetensors.numpy import load

    arrays = load(body)
    rows = np.split(arrays["ids"], np.cumsum(arrays["lengths"])[:-1])
    return [
        _Encoded(ids=_frozen(ids), is_truncated=bool(truncated), is_empty=bool(empty))
        for ids, truncated, empty in zip(rows, arrays["truncated"], arrays["empty"], strict=True)
    ]


def _frozen(ids: Any) -> Int32:
    array = np.array(ids, dtype=np.int32)
    array.flags.writeable = False
    return array
