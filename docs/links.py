"""Every link of a built site that stays within it leads to a page, and to a place on it.

    python docs/links.py build/site

Nothing outside is asked: what begins with a scheme is left alone, but nothing that a page *loads*
may come from elsewhere.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    """The links of a page, what it loads, and the places on it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def has(self, place: str) -> bool:
        """Whether a link may end in ``#place``; the empty one is the page's top."""
        return not place or place in self.places

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.places |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADS and LOADS[tag] in values:
            self.loads.append(values[LOADS[tag]])


def is_page(path: Path, root: Path) -> bool:
    """Whether it is read; ``_static`` has templates of the theme as well."""
    return path.relative_to(root).parts[0] != "_static"


def faults(root: Path) -> list[str]:
    """One sentence for each link that leads nowhere."""
    root = root.resolve()
    pages = {path: Page(path) for path in sorted(root.rglob("*.html")) if is_page(path, root)}
    found = []
    for path, page in pages.items():
        for link in (*page.links, *page.loads):
            where = f"{path.relative_to(root)}: {link}"
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads and parts.scheme != "data":
                    found.append(f"{where} is loaded from elsewhere")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir() or not target.exists():
                found.append(f"{where} leads to no file")
            elif target in pages and not pages[target].has(unquote(parts.fragment)):
                found.append(f"{where} leads to no place on that page")
    return found


def main() -> int:
    root = Path(sys.argv[1])
    found = faults(root)
    print("\n".join(found), file=sys.stderr)
    pages = len(list(root.rglob("*.html")))
    print(f"{pages} pages, {len(found)} links that lead nowhere")
    return bool(found) or pages == 0


if __name__ == "__main__":
    sys.exit(main())
