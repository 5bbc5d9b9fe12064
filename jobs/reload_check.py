"""A fresh process that loads a pack's exported cells as any user would, and predicts a few rows with each.

    python -m jobs.reload_check

One JSON object a line: `Setup`, then a `Question` for each cell on standard input; on standard output an
`Answer` once it is ready, then one for each question. Only stock transformers and PEFT touch the weights.

Shapes: S texts, L longest text, C classes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

from jobs.errors import BugError, classify
from jobs.export import HEAD_FILE
from jobs.models.padding import padded, unused_id
from jobs.models.reading import quiet_libraries
from jobs.models.skeleton import classifier_skeleton
from jobs.peft_fields import without_adapters
from jobs.reload_messages import Answer, Question, Setup
from jobs.spec import Strategy, loads
from jobs.work_process import claim_standard_output, say

BATCH_TEXTS = 16
"""Texts of one padded pass."""


class Checker:
    """Holds the freshly loaded base and puts one cell after another on it."""

    def __init__(self, setup: Setup) -> None:
        """Load the base when the setup asks for it.

        Side effects:
            sets this process' threads.
        """
        torch.set_num_threads(setup.threads)
        self.setup = setup
        self.dtype: torch.dtype = getattr(torch, setup.dtype)
        if setup.loads_base:
            _ = self._base

    @cached_property
    def _base(self) -> Any:  # a transformers model, whose attributes nn.Module does not know
        setup = self.setup
        settings: dict[str, Any] = {"revision": setup.revision, "dtype": self.dtype, "local_files_only": True}
        settings |= {"use_safetensors": True, "trust_remote_code": False}
        if setup.quantization is not None:
            settings["device_map"] = {"": setup.device}
            settings["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type=setup.quantization.type,
                bnb_4bit_use_double_quant=setup.quantization.double,
                bnb_4bit_compute_dtype=self.dtype,
                llm_int8_skip_modules=list(setup.not_quantized),
            )
        model = AutoModelForSequenceClassification.from_pretrained(setup.location, num_labels=2, **settings)
        for module in model.modules():
            # With AVX512-BF16, bitsandbytes would repack the weights in place at the first pass and round them again.
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        return _ready(model, setup.device)

    def predict(self, question: Question, texts: Sequence[Sequence[int]]) -> Tensor:
        """Load a cell and run the texts through it.

        Args:
            question: the cell's folder.
            texts: token ids.
        Returns:
            logits_SC, float32, on the CPU.
        Raises:
            BugError: the folder does not hold exactly what the cell needs.
        """
        with self.model_of(question) as model:
            return self.logits(model, question, texts)

    def logits(self, model: Any, question: Question, texts: Sequence[Sequence[int]]) -> Tensor:
        """As `predict`, with the cell that `model_of` has loaded."""
        # A full cell's weights are float32 and its arithmetic is the compute type's, by autocast.
        is_full = question.form == "model" and question.strategy is Strategy.FULL
        return self._forward(model, texts, autocast=is_full)

    @contextmanager
    def model_of(self, question: Question) -> Iterator[Any]:
        """Load a cell; while the context lasts, the base belongs to it.

        Args:
            question: the cell's folder.
        Yields:
            the stock classifier, ready to predict.
        Raises:
            BugError: the folder does not hold exactly what the cell needs.
        """
        if question.form == "model":
            dtype = torch.float32 if question.strategy is Strategy.FULL else self.dtype
            model = AutoModelForSequenceClassification.from_pretrained(question.folder, dtype=dtype)
            yield _ready(model, self.setup.device)
            return
        self._fresh_head(question.num_labels)
        if not question.strategy.has_peft_folder:
            _load_head(self._base, Path(question.folder), self.setup.head_roots)
            yield self._base
            return
        base = self.__dict__.pop("_base")  # after any failure it may carry remains of this cell: then it is loaded anew
        model = PeftModel.from_pretrained(base, question.folder)
        _check_names(model, Path(question.folder))
        yield _ready(model, self.setup.device)
        self.__dict__["_base"] = without_adapters(model)

    def _fresh_head(self, num_labels: int) -> None:
        """The head that `from_pretrained(num_labels=...)` would make, filled with NaN: what is not loaded shows."""
        skeleton = classifier_skeleton(self._base.config, num_labels=num_labels)
        for name in self.setup.head_roots:
            head = skeleton.get_submodule(name).to_empty(device=self.setup.device).to(self.dtype)
            for parameter in head.parameters():
                parameter.data.fill_(float("nan"))
            setattr(self._base, name, head.eval())

    @torch.no_grad()
    def _forward(self, model: Any, texts: Sequence[Sequence[int]], *, autocast: bool = False) -> Tensor:
        pad_id = self.setup.pad_id
        if pad_id is None:
            pad_id = unused_id(texts)
            model.config.pad_token_id = pad_id  # decoders find a text's last token by it
        device = torch.device(self.setup.device)
        is_mixed = autocast and self.dtype != torch.float32
        parts = []
        with torch.autocast(device.type, dtype=self.dtype, enabled=is_mixed):
            for first in range(0, len(texts), BATCH_TEXTS):
                rows = padded(texts[first : first + BATCH_TEXTS], pad_id, device)
                parts.append(model(input_ids=rows.ids_SL, attention_mask=rows.mask_SL).logits.float().cpu())
        logits_SC = torch.cat(parts)
        if not bool(logits_SC.isfinite().all()):
            raise BugError("the reloaded cell's logits are not finite: a tensor of it was not loaded")
        return logits_SC


def main() -> int:
    """Answer questions until standard input ends."""
    answers = claim_standard_output()
    # Paths may hold bytes that are no text; they travel as lone surrogates.
    questions = os.fdopen(0, encoding="utf-8", errors="surrogatepass")
    quiet_libraries()
    try:
        checker = Checker(loads(Setup, questions.readline()))
    except Exception as error:
        say(answers, _refusal(error))
        return 1
    say(answers, Answer())
    for line in questions:
        say(answers, _answer(checker, loads(Question, line)))
    return 0


def _answer(checker: Checker, question: Question) -> Answer:
    try:
        logits_SC = checker.predict(question, json.loads(Path(question.texts_file).read_text("ascii")))
        return Answer(logits=tuple(tuple(row) for row in logits_SC.tolist()))
    except Exception as error:
        return _refusal(error)


def _refusal(error: Exception) -> Answer:
    kind, reason = classify(error)
    return Answer(error=reason, kind=kind)


def _ready(model: Any, device: str) -> Any:
    if not getattr(model, "is_loaded_in_4bit", False):
        model.to(device)
    model.config.use_cache = False
    return model.eval()


def _load_head(model: Any, folder: Path, roots: tuple[str, ...]) -> None:
    tensors = load_file(folder / HEAD_FILE)
    needed = {name for name in model.state_dict() if name.partition(".")[0] in roots}
    _compare_names(needed, set(tensors))
    model.load_state_dict(tensors, strict=False)


def _check_names(model: Any, folder: Path) -> None:
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        _compare_names(set(get_peft_model_state_dict(model)), set(file.keys()))


def _compare_names(needed: set[str], found: set[str]) -> None:
    if needed != found:
        raise BugError(
            f"exported tensors do not fit the stock model: missing {sorted(needed - found)[:3]}, "
            f"left over {sorted(found - needed)[:3]}"
        )


if __name__ == "__main__":
    sys.exit(main())
