"""`make bench`: every figure as one table; `python -m tests.bench NAME...` for some of the modules.

Medians and p99 of all samples of this run, their spread, the bar, and what etcd, the one peer that is measured here, did
in the same run where it is installed. Figures of other programs were measured elsewhere and say only what to expect:
machines and their mood differ.
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
    print(f"{'what':66} {'unit':8} {'n':>4} {'p50':>9} {'p99':>9} {'spread':>16}  bar [measured elsewhere] {{peer in this run}}")
    found = []
    for name in names:
        for row in importlib.import_module(f"tests.bench.{name}").rows():
            note = " ".join(filter(None, (row.bar, row.elsewhere and f"[{row.elsewhere}]", row.peer and f"{{{row.peer}}}")))
            print(f"{row.what:66} {row.unit:8} {len(row.samples):4} {row.p50:9.4g} {row.p99:9.4g} {row.spread:>16}  {note}", flush=True)
            figures = {"p50": row.p50, "p99": row.p99, "n": len(row.samples)}
            notes = {"bar": row.bar, "elsewhere": row.elsewhere, "peer": row.peer}
            found.append({"what": row.what, "unit": row.unit, **figures, **notes})
    pathlib.Path("bench-results.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
