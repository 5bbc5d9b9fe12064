"""Rows hold cells of different shapes; layers see leaves whose gradients land in the bank."""

from __future__ import annotations

import torch

from jobs.training.bank import RowLayout, SlotBank

SMALL = {"q.lora_A": (2, 6), "q.lora_B": (4, 2), "head.out.weight": (3, 6), "head.out.bias": (3,)}
LARGE = {"q.lora_A": (5, 6), "q.lora_B": (4, 5), "v.lora_A": (5, 6), "v.lora_B": (4, 5), "head.out.weight": (7, 6)}


def bank() -> SlotBank:
    return SlotBank(RowLayout([SMALL, LARGE]), slots=3, device=torch.device("cpu"))


def test_what_is_written_is_read_back_without_padding() -> None:
    cells = bank()
    tensors = {name: torch.randn(shape) for name, shape in SMALL.items()}
    cells.theta.fill_(9.0)
    cells.write(1, tensors)
    read = cells.read(cells.theta[1], SMALL)
    assert all(torch.equal(read[name], tensors[name]) for name in SMALL)
    assert int((cells.theta[1] != 0).sum()) == sum(t.numel() for t in tensors.values())
    assert (cells.theta[0] == 9.0).all()


def test_gradients_accumulate_in_the_bank() -> None:
    cells = bank()
    leaf = cells.leaves(2)["q.lora_A"]
    (leaf * 2.0).sum().backward()
    (leaf * 3.0).sum().backward()
    assert cells.grad[:2].sum() == 5.0 * leaf.numel()
    assert cells.grad[2].sum() == 0.0


def test_leaves_follow_the_numbers() -> None:
    cells = bank()
    leaf = cells.leaves(3)["v.lora_B"]
    cells.theta.fill_(4.0)
    assert (leaf == 4.0).all()


def test_layout_covers_smaller_cells_only() -> None:
    layout = RowLayout([SMALL])
    assert layout.covers(SMALL)
    assert not layout.covers(LARGE)
    assert RowLayout([SMALL, LARGE]).covers(SMALL)


def test_biases_do_not_decay() -> None:
    layout = RowLayout([SMALL])
    bias = layout.slices["head.out.bias"]
    decay = layout.decay_P()
    assert (decay[bias.start : bias.stop] == 0).all()
    assert decay.sum() == layout.width - 3
