"""Messages of the reload check survive their journey through a line of JSON."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.reload_messages import Answer, Question, Setup
from jobs.spec import FailureKind, QuantizationSpec, Strategy, dumps, loads

MESSAGES = (
    Answer(),
    Answer(logits=((0.1, -2.5e-8), (float(np.float32(1) / 3), 4.0))),
    Answer(error="no room \u2028 \ud800 left", kind=FailureKind.OUT_OF_MEMORY),
    Question(strategy=Strategy.HEAD, form="model", folder="/a b\nc", num_labels=3, texts_file="/t"),
    Setup(
        threads=2,
        device="cuda:0",
        dtype="bfloat16",
        location="owner/name",
        revision="abc",
        quantization=QuantizationSpec(type="fp4"),
        not_quantized=("score",),
        head_roots=("score",),
        pad_id=None,
        loads_base=True,
    ),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back_equal(message: Answer | Question | Setup) -> None:
    line = dumps(message)
    assert line.splitlines() == [line] or "\u2028" in line
    assert "\n" not in line
    assert loads(type(message), line) == message
