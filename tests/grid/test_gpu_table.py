"""Devices that are not here, for plans."""

import pytest

from grid.devices import Devices
from grid.gpu_table import KNOWN_GPUS, devices_of, pack_flops
from jobs.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [("8xA10G", 8, "NVIDIA A10G"), ("h200", 1, "NVIDIA H200"), ("2 x RTX 3060", 2, "NVIDIA GeForce RTX 3060")],
)
def test_written_devices(text, count, name):
    devices = devices_of(text)
    assert (devices.gpus, set(devices.gpu_names), len(devices.gpu_memory_bytes)) == (count, {name}, count)
    assert "not here" in devices.where


@pytest.mark.parametrize("text", ["A10H", "", "0xA10G", "x", "8x"])
def test_unknown_ones_are_refused(text):
    with pytest.raises(ConfigError, match="--on"):
        devices_of(text)


def test_speed_is_that_of_the_slowest_and_every_row_is_found_again():
    assert all(pack_flops(devices_of(name)) == gpu.peak_flops / 4 for name, gpu in KNOWN_GPUS.items())
    both = Devices(cpus=8, gpus=2, gpu_names=("NVIDIA A100-SXM4-40GB", "Tesla T4"))
    assert pack_flops(both) == KNOWN_GPUS["T4"].peak_flops / 4
    assert pack_flops(Devices(cpus=2)) is None
