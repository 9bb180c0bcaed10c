"""`make bench`: every figure as one table; `python -m tests.bench NAME...` for some of the modules.

Medians and p99 of all samples of this run, their spread, the bar, and the peer where it is installed. Nothing is
compared with an earlier run: machines and their mood differ.
"""

import importlib
import json
import os
import pathlib
import pkgutil
import sys

from tests import bench


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # programs start as they do where they are installed: compiled once
    names = sys.argv[1:] or [module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_")]
    print(f"{'what':66} {'unit':8} {'n':>4} {'p50':>9} {'p99':>9} {'spread':>16}  bar / peer")
    found = []
    for name in names:
        for row in importlib.import_module(f"tests.bench.{name}").rows():
            note = " / ".join(part for part in (row.bar, row.peer) if part)
            print(f"{row.what:66} {row.unit:8} {len(row.samples):4} {row.p50:9.4g} {row.p99:9.4g} {row.spread:>16}  {note}", flush=True)
            found.append(
                {
                    "what": row.what,
                    "unit": row.unit,
                    "p50": row.p50,
                    "p99": row.p99,
                    "n": len(row.samples),
                    "bar": row.bar,
                    "peer": row.peer,
                }
            )
    pathlib.Path("bench-results.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
