"""Rows that cannot be used: all are found, named by file and line, then refused or dropped within a limit."""

from __future__ import annotations

from jobs.errors import DataError, one_line

NOT_UTF8 = "not valid UTF-8"
_SHOWN = 5
_CONVERT = (
    "the bytes are not UTF-8: save as UTF-8, or convert a Windows or Latin-1 file:"
    " iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
)


class BadRows:
    """Collects faults of rows while a data set is read."""

    def __init__(self, policy: str, max_fraction: float) -> None:
        """Start empty.

        Args:
            policy: fail | drop.
            max_fraction: with drop, the largest share of rows that may be lost.
        """
        self.num_rows = 0
        self._policy = policy
        self._max_fraction = max_fraction
        self._messages: list[str] = []
        self._num_not_utf8 = 0

    def add(self, file: str, line: int, why: str, *, num_rows: int = 1) -> None:
        """Note a fault.

        Args:
            file: where the row stands.
            line: its first line (or row number in Parquet and on the hub), from 1.
            why: what is wrong, without the text itself.
            num_rows: lines lost by it, such as all lines that an open quote swallowed.
        """
        self.num_rows += num_rows
        self._num_not_utf8 += num_rows if why == NOT_UTF8 else 0
        if len(self._messages) < _SHOWN:
            self._messages.append(one_line(f"{file}:{line}: {why}"))

    def settle(self, num_read: int) -> None:
        """Decide at the end of reading.

        Args:
            num_read: all rows, good and bad.

        Raises:
            DataError: bad rows with policy fail, or too many of them; names the first five.
        """
        if not self.num_rows:
            return
        if self._policy == "drop" and self.num_rows <= self._max_fraction * num_read:
            return
        rest = self.num_rows - len(self._messages)
        lines = [*self._messages, *([f"... and {rest} more"] if rest > 0 else [])]
        lines += [_CONVERT] if self._num_not_utf8 else []
        if self._policy == "drop":
            share = self.num_rows / max(num_read, 1)
            lines.append(
                f"{self.num_rows} of {num_read} rows ({share:.2%}) are bad, more than dataset.max_bad_fraction"
                f" = {self._max_fraction:g} allows"
            )
        else:
            is_all = self.num_rows >= num_read
            drop = "" if is_all else "; correct them, or set dataset.bad_rows: drop"
            lines.append(f"bad rows: {self.num_rows}{' (all)' if is_all else ''}{drop}")
        raise DataError("\n".join(lines))
