"""What `dataset.label_groups` and the filters may say in short: named groups of the GoEmotions labels, lists of words.

Source of the groups: Demszky et al. 2020, GoEmotions (arXiv 2005.00547), and the mapping files published with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from jobs.spec import LabelGroup

_POSITIVE = "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief"
_SAD = "sadness disappointment embarrassment grief remorse"
_UNCLEAR = "surprise realization confusion curiosity"

NAMED: Mapping[str, Mapping[str, str]] = {
    "ekman": {
        "anger": "anger annoyance disapproval",
        "disgust": "disgust",
        "fear": "fear nervousness",
        "joy": _POSITIVE,
        "sadness": _SAD,
        "surprise": _UNCLEAR,
        "neutral": "neutral",
    },
    "sentiment": {
        "positive": _POSITIVE,
        "negative": f"anger annoyance disapproval disgust fear nervousness {_SAD}",
        "ambiguous": _UNCLEAR,
        "neutral": "neutral",
    },
}
"""Labels of every group, by the name that a config may give instead of a mapping."""


def label_groups(declared: str | Mapping[str, Sequence[str]]) -> tuple[LabelGroup, ...]:
    """Spell groups out, so that a name and its meaning have one identity.

    Args:
        declared: a name of `NAMED`, or group name -> labels.
    """
    if isinstance(declared, str):
        return tuple(LabelGroup(name=name, labels=tuple(labels.split())) for name, labels in NAMED[declared].items())
    return tuple(LabelGroup(name=name, labels=tuple(labels)) for name, labels in declared.items())


def any_word_of(words: Sequence[str]) -> str:
    """A regular expression for texts that hold one of the words, whatever their case."""
    return r"(?i)(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)"
