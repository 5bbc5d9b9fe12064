"""What each token of one text adds to one label's logit: integrated gradients and occlusion, both by captum.

Both compare the text with its reference: the same tokens, all masked but the special ones. Positions and special
tokens stay as they are, so that a special token's value is 0.

Shapes: L tokens, H hidden, C classes, b copies of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jobs.errors import EnvironmentProblem
from jobs.explaining.tokens import Tokens

COPIES = 16
"""Copies of a text in one pass."""
ALLOWED_GAP = 0.01
"""Of the change of the logit (at least 1): while the sum of values is further off, the number of steps is doubled."""
MOST_STEPS = 1024


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Values of one text's tokens for one label."""

    values: tuple[float, ...]
    logit: float
    reference_logit: float
    gap: float | None = None
    """ig: sum of values - (logit - reference_logit)."""
    steps: int | None = None
    """ig: points of the path."""


class TextScorer:
    """One text under one model: its logits, and those of the text partly masked."""

    def __init__(self, model: Any, tokens: Tokens, stand_in: int) -> None:
        """Embed the text and its reference.

        Args:
            model: a stock sequence classifier, ready to predict.
            tokens: of the text.
            stand_in: token that takes a masked one's place.
        Side effects:
            a decoder without a padding token gets one, which it never sees: its last token is the text's last.
        """
        self.model = model
        config = model.config.get_text_config()
        if config.pad_token_id is None:
            config.pad_token_id = stand_in
        embed = model.get_input_embeddings()
        device = embed.weight.device
        masked = [token if own else stand_in for token, own in zip(tokens.ids, tokens.is_special, strict=True)]
        with torch.no_grad():
            self.embedded_1LH = embed(torch.tensor([tokens.ids], device=device)).float()
            self.reference_1LH = embed(torch.tensor([masked], device=device)).float()

    def logits(self, embedded_bLH: Tensor) -> Tensor:
        """logits_bC, float32."""
        mask_bL = torch.ones(embedded_bLH.shape[:2], dtype=torch.long, device=embedded_bLH.device)
        logits_bC: Tensor = self.model(inputs_embeds=embedded_bLH, attention_mask=mask_bL).logits
        return logits_bC.float()

    @torch.no_grad()
    def plain_logits(self) -> tuple[Tensor, Tensor]:
        """logits_C of the text and of its reference."""
        return self.logits(self.embedded_1LH)[0], self.logits(self.reference_1LH)[0]


def explain(scorer: TextScorer, labels: Sequence[int], *, method: str, steps: int) -> list[Attribution]:
    """Attribute each label's logit to the tokens.

    Args:
        scorer: text and model.
        labels: class indices.
        method: ig | occlusion.
        steps: of integrated gradients, at first.
    Returns:
        one attribution a label.
    Raises:
        EnvironmentProblem: captum is not installed.
    """
    logits_C, reference_C = scorer.plain_logits()
    found = []
    for label in labels:
        ends = float(logits_C[label]), float(reference_C[label])
        if method == "ig":
            found.append(_integrated(scorer, label, ends, steps))
        else:
            values_L = _occluded(scorer, label)
            found.append(Attribution(values=tuple(values_L.tolist()), logit=ends[0], reference_logit=ends[1]))
    return found


def _integrated(scorer: TextScorer, label: int, ends: tuple[float, float], steps: int) -> Attribution:
    """Sundararajan, Taly, Yan (2017), "Axiomatic attribution for deep networks", summed over each token's embedding."""
    method = captum_methods().IntegratedGradients(scorer.logits)
    change = ends[0] - ends[1]
    while True:
        values_L = method.attribute(
            scorer.embedded_1LH,
            baselines=scorer.reference_1LH,
            target=label,
            n_steps=steps,
            internal_batch_size=COPIES,
        )[0].sum(dim=-1)
        gap = float(values_L.sum()) - change
        if abs(gap) <= ALLOWED_GAP * max(1.0, abs(change)) or 2 * steps > MOST_STEPS:
            values = tuple(values_L.tolist())
            return Attribution(values=values, logit=ends[0], reference_logit=ends[1], gap=gap, steps=steps)
        steps *= 2


@torch.no_grad()
def _occluded(scorer: TextScorer, label: int) -> Tensor:
    """Logit of the text minus that of the text with one token masked, for every token."""
    places_1L1 = torch.arange(scorer.embedded_1LH.shape[1], device=scorer.embedded_1LH.device)[None, :, None]
    values_1LH: Tensor = (
        captum_methods()
        .FeatureAblation(scorer.logits)
        .attribute(
            scorer.embedded_1LH,
            baselines=scorer.reference_1LH,
            target=label,
            feature_mask=places_1L1,
            perturbations_per_eval=COPIES,
        )
    )
    # A token's value stands at every place of its embedding. Masking a token that stays as it is changes nothing but
    # roundings, since a pass of several copies rounds otherwise than one.
    is_masked_L = (scorer.embedded_1LH != scorer.reference_1LH).any(dim=-1)[0]
    values_L: Tensor = values_1LH[0, :, 0] * is_masked_L
    return values_L


def captum_methods() -> Any:
    """The library's methods.

    Raises:
        EnvironmentProblem: captum is not installed.
    """
    try:
        from captum import attr
    except ImportError as error:
        raise EnvironmentProblem(
            "token attributions need captum, which is not installed here: pip install 'finegrid[explain]'"
        ) from error
    return attr
