"""What a prior gains on matrices of one origin: writes docs/your-matrices.md.

    python benchmarks/your_matrices.py            # two minutes of one core, more on a busy one
    python benchmarks/your_matrices.py --orders 8 --count 200 --out build/quick

Needs the extra ``benchmarks`` for the families that come out of packages; without, it names them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from deepmatrixinversion.reporting.figure_files import save_figure
from your_cases import measure
from your_families import FAMILIES
from your_page import TEXT, aims, draw, gains, nothing_to_gain, products
from your_strangers import drift, foreign

ORDERS = (8, 16, 32, 64)
COUNT = 1_500


def main() -> None:
    """Write the page and its figure."""
    p = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    p.add_argument("--orders", type=int, nargs="+", default=ORDERS)
    p.add_argument("--count", type=int, default=COUNT)
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs")
    options = p.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    cases, missing = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            for n in options.orders:
                count = options.count if n < 64 else max(200, options.count // 2)
                try:
                    case = measure(family, n, count, Path(folder) / f"{len(cases)}")
                except ImportError as error:
                    missing[family.name] = error.name
                    break
                cases.append(case)
                print(products([case]).splitlines()[-1], flush=True)
        kernels = [c for c in cases if c.family is FAMILIES[0]]
        moved = kernels[min(2, len(kernels) - 1)]
        save_figure(draw(cases), options.out / "your-matrices.png")
        absent = "; ".join(f"{name} (needs {module})" for name, module in missing.items())
        text = TEXT.format(
            families=len({c.family.name for c in cases}),
            count=options.count,
            small=max(200, options.count // 2),
            missing=f"\n\nMissing in this run: {absent}." if missing else "",
            aims=aims(cases),
            gains=gains(cases).rstrip(),
            nothing=nothing_to_gain(cases),
            table=products(cases).rstrip(),
            foreign=foreign(cases).rstrip(),
            drift=drift(moved).rstrip(),
            drift_order=moved.n,
            minutes=(time.process_time() - begun) / 60,
        )
    (options.out / "your-matrices.md").write_text(text, encoding="utf-8")
    print(json.dumps({"missing": missing, "cases": len(cases)}))


if __name__ == "__main__":
    main()
