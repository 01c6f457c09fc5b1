"""Writes what follows from the ports: the operations of the manifest and the coverage table of the README.

python -m plugins.tryton.generated
"""

from __future__ import annotations

import re
from pathlib import Path

from plugins.tryton.adapter import ANSWERED, TrytonAdapter
from plugins.tryton.coverage import table

FOLDER = Path(__file__).parent


def manifest(text: str) -> str:
    """Return the manifest with the operations of all ports."""
    names = "".join(f"  - {each.name}\n" for each in TrytonAdapter.operations)
    return re.sub(r"operations:\n(  - .*\n)+", f"operations:\n{names}", text)


def readme(text: str) -> str:
    """Return the README with the table of what is answered."""
    begin, end = "<!-- coverage -->\n", "<!-- end of coverage -->"
    before, _, rest = text.partition(begin)
    return before + begin + "\n" + table(ANSWERED) + "\n\n" + end + rest.partition(end)[2]


WRITTEN = {"manifest.yaml": manifest, "README.md": readme}


def main() -> None:
    """Write both files."""
    for name, make in WRITTEN.items():
        path = FOLDER / name
        path.write_text(make(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
