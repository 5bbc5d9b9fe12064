"""A reader that goes away (`| head`, a closed terminal) ends no process, silences the console and leaks nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

from grid.terminal import PatientConsole


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_closed_pipe_silences_the_console_and_leaks_no_descriptor() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        console = PatientConsole(file=stream)
        os.close(reader)
        before = open_descriptors()
        for _ in range(3):
            console.print("hello")
        assert console.quiet
        assert open_descriptors() == before
        stream.write("what is left in the buffer goes nowhere")


def test_a_stream_without_a_descriptor_is_silenced_too() -> None:
    console = PatientConsole(file=io.StringIO())
    console.on_broken_pipe()
    console.print("hello")
    assert console.quiet and not console.file.getvalue()  # type: ignore[attr-defined]
