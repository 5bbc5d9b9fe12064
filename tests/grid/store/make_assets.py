"""Write a dump of a small store of the present schema: `python -m tests.grid.store.make_assets`.

Run it once for every new schema version, before the next one is begun, and commit the file.
"""

import sqlite3
import tempfile
from pathlib import Path

from grid.store import schema
from jobs.spec import FailureKind
from tests.grid.store.conftest import Bench


def main():
    """One done, one failed and one pending cell."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.begin()
        bench.finish(bench.cells[0])
        bench.start(bench.cells[1])
        bench.store.fail(bench.cells[1].cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan at step 7")
        bench.store.pin("model:owner/name", "0" * 40)
        bench.store.finish_run(1)
        bench.store.close()
        connection = sqlite3.connect(bench.layout.index)
        connection.execute("UPDATE runs SET host = 'somewhere', boot_id = ''")
        text = "\n".join(connection.iterdump()) + "\n"
        connection.close()
    target = Path(__file__).parent / "assets" / f"{schema.REVISIONS[-1]}.sql"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
