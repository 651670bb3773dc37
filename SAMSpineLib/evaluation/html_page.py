"""What every page of a report shares: its style, and pictures inside the file, so that it needs nothing but itself."""

from __future__ import annotations

import base64

from SAMSpineLib.evaluation.auto_pictures import Pixels, png

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --rule: #c6ccd3; --review: #fff1cc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --paper: #14181c; --rule: #47505a; --review: #4a3a0c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 75rem;
  margin: 0 auto; padding: 1rem 1.5rem 3rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; flex: 1 1 14rem; max-width: 24rem; }
figcaption { font-size: 0.9rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: bold 8px system-ui, sans-serif; fill: #fff; stroke: #000; stroke-width: 2px; paint-order: stroke;
  text-anchor: middle; dominant-baseline: central; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1.5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: bold; padding-bottom: 0.4rem; }
th, td { padding: 0.25rem 0.8rem; border-bottom: 1px solid var(--rule); text-align: right; }
th:first-child, th.words, td.words { text-align: left; }
tr.review { background: var(--review); }
.swatch { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.5em; border: 1px solid var(--ink); }
"""


def data_url(pixels: Pixels) -> str:
    """Return pixels (rows, columns, 3 or 4) as an address that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode('ascii')}"
