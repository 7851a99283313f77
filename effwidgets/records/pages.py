"""What has a view, written as one file of HTML that needs no network and runs no script."""

from __future__ import annotations

from html import escape
from pathlib import Path

from effwidgets.records.doors import Shown
from effwidgets.records.files import write_file

__all__ = ["write_page"]

# Nothing may be fetched and nothing may run, whatever a name in it says.
_SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = (
    ":root{color-scheme:light dark;background:light-dark(#fff,#14171c);color:light-dark(#1a1d23,#eceff3)}"
    "body{margin:1.5rem auto;padding:0 1rem;max-width:70rem;font-family:system-ui,sans-serif}"
)


def write_page(thing: Shown, path: str | Path) -> Path:
    """Write a record, or the report of what goes on, as a page of its own.

    Returns:
        The path written.

    Raises:
        InputError: no name of a file, or it cannot be written.
    """
    bundle = thing._report_()._repr_mimebundle_()
    head = str(bundle["text/plain"]).partition("\n")[0][:120]
    body = bundle.get("text/html") or f"<pre>{escape(str(bundle['text/plain']))}</pre>"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFE}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(head)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
    write_file(path, page.encode("utf-8", "replace").decode("utf-8"))  # half a surrogate pair cannot be written
    return Path(path)
