"""Make text from logs and stores harmless on a terminal: what cannot be printed is shown, not obeyed."""

from __future__ import annotations


def visible(text: str, *, keep_lines: bool = False) -> str:
    r"""Replace every character that is not printable by its escape, such as \x1b.

    Args:
        text: anything.
        keep_lines: leave newlines and tabs, as in a traceback.

    Returns:
        text that moves no cursor, changes no colour and, without `keep_lines`, stays on one line.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if keep_lines else ""
    return "".join(c if c.isprintable() or c in kept else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
