"""Tiles: inks that can be read on their ground, names that are turned only where they must be."""

from __future__ import annotations

import numpy as np

from analysis.figures.tiles import TileTexts, draw_tiles, name_tiles, sequential, tile_axes
from analysis.style import relative_luminance


def contrast(first: str, second: str) -> float:
    light, dark = sorted((relative_luminance(first), relative_luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_numbers_can_be_read_on_every_shade() -> None:
    values = np.linspace(0, 1, 21)[None, :]
    axes = tile_axes(1, 21, width=0.5, height=0.5)
    colours, norm = sequential()
    draw_tiles(axes, values, {(0, i): TileTexts(main="x") for i in range(21)}, colours=colours, norm=norm)
    for text, value in zip(axes.texts, values[0], strict=True):
        assert contrast(text.get_color(), colours(norm(value))) >= 4.5


def test_short_names_stand_upright_and_long_words_are_turned() -> None:
    for columns, rotation in ((["4 labels, 100 rows", "b"], 0.0), (["incomprehensibilities", "b"], 90.0)):
        axes = tile_axes(1, 2, width=0.7, height=0.5)
        name_tiles(axes, ["r"], columns)
        assert {text.get_rotation() for text in axes.get_xticklabels()} == {rotation}
