"""Numbers, colours and contrast."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from analysis.style import (
    EMPTY,
    figure_settings,
    ink_on,
    metric_style,
    relative_luminance,
    short_number,
    short_setting,
    tick_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.6931, "0.693"),
        (2.7726, "2.77"),
        (12.345, "12.3"),
        (640.0, "640"),
        (1234.5, "1234"),
        (123456.0, "123k"),
        (1.5e9, "1.5G"),
        (-0.5, "-0.500"),
        (0.00042, "4e-04"),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text
    assert len(text) <= 6


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (20.0, "20"), (1e6, "1.00M"), (12345, "12.3k"), (0, "0")])
def test_numbers_on_scales(value: float, text: str) -> None:
    assert tick_text(value).replace("1.00M", "1M") == text.replace("1.00M", "1M")


@pytest.mark.parametrize(
    ("value", "text"), [(1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (0.1, "0.1"), (0.0, "0"), (-1e-3, "-1e-3")]
)
def test_settings_as_people_write_them(value: float, text: str) -> None:
    assert short_setting(value) == text


def test_shares_are_per_cent_on_the_full_range() -> None:
    style = metric_style("f1_macro")
    assert (style.text(0.9875), style.unit, style.better) == ("98.8", " (%)", "higher")
    assert style.limits([0.4, 0.5]) == (0.0, 1.0)


def test_loss_has_its_light_end_at_low_values() -> None:
    style = metric_style("loss")
    assert style.better == "lower"
    assert style.limits([0.5, 2.5]) == (0.5, 2.5)
    assert relative_luminance(style.colours(0.0)) > relative_luminance(style.colours(1.0))


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("solo_step_seconds", "lower"),
        ("solo_peak_memory_bytes", "lower"),
        ("solo_train_samples_per_second", "higher"),
        ("solo_inference_samples_per_second", "higher"),
    ],
)
def test_solo_costs_have_a_good_end(name: str, better: str) -> None:
    assert metric_style(name).better == better


def test_equal_values_still_give_a_scale() -> None:
    low, high = metric_style("loss").limits([2.0, 2.0])
    assert low < 2.0 < high


def test_unknown_metrics_claim_no_good_end() -> None:
    assert metric_style("my_own").better == ""


def test_text_is_readable_on_every_colour() -> None:
    """WCAG AA asks 4.5 for text of this size; the worse ink would give less than the better one everywhere."""
    for share in np.linspace(0.0, 1.0, 101):
        colour = metric_style("accuracy").colours(float(share))
        light = relative_luminance(colour)
        contrast = 1.05 / (light + 0.05) if ink_on(colour) == "#ffffff" else (light + 0.05) / 0.05
        assert contrast >= 4.5


def test_brightness_alone_orders_the_colours() -> None:
    """So that the scale survives colour blindness and grey printing."""
    light = [relative_luminance(metric_style("accuracy").colours(float(x))) for x in np.linspace(0.0, 1.0, 64)]
    assert light == sorted(light)


def test_empty_tiles_have_a_colour_outside_the_scale() -> None:
    colours = metric_style("accuracy").colours(np.linspace(0, 1, 256))[:, :3]
    ground = np.array(matplotlib.colors.to_rgb(EMPTY))
    assert np.abs(colours - ground).max(axis=1).min() > 0.25


def test_settings_of_the_user_do_not_leak_in_or_out() -> None:
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30.0}):
        with figure_settings():
            assert not matplotlib.rcParams["text.usetex"]
            assert matplotlib.rcParams["font.size"] == 10.0
        assert matplotlib.rcParams["font.size"] == 30.0
