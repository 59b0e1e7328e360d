"""A chapter's chart for the README: a bar for each contender, as plain SVG that reads in light and in dark.

Text stays text, in whatever font there is; colours follow the reader's own scheme; there is no script.
"""

from html import escape

from .results import Chapter, Line, columns, lines

_WIDTH, _LABELS, _VALUES = 760, 250, 150  # pixels: of all, of the names on the left, of the figures on the right
_ROW, _BAR, _HEAD = 28, 16, 56
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.faint { fill: #59636e }
.bar { fill: #9aa4af } .ours { fill: #0969da } .limit { fill: #d1d9e0 }
.spread { stroke: #1f2328 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .faint { fill: #9198a1 }
  .bar { fill: #656c76 } .ours { fill: #4493f8 } .limit { fill: #3d444d }
  .spread { stroke: #f0f6fc }
}"""


def as_svg(told: Chapter) -> str:
    """Medians of the first figure in the charted case, least to most as a line; empty where there are none."""
    shown = columns(told, told["charted"])
    raced = [line for line in lines(told, told["charted"]) if line["spreads"]]
    if not raced:
        return ""
    column = shown[0]
    most = max(line["spreads"][0].high for line in raced) or 1.0
    scale = (_WIDTH - _LABELS - _VALUES) / most
    height = _HEAD + _ROW * len(raced)
    way = {"less": "less is better", "more": "more is better"}.get(column["better"], "")
    summary = "; ".join(f"{line['contender']} {line['spreads'][0].median:.{column['digits']}f}" for line in raced)
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    told_in_words = escape(f"{told['title']}, {column['title']}: {summary}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{told_in_words}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="0" y="18">{escape(told["title"])}: {escape(column["title"])}</text>',
        f'<text class="faint" x="0" y="38">{escape(told["charted"])}; {way}</text>',
        *(_bar(line, number, scale, column["digits"]) for number, line in enumerate(raced)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(line: Line, number: int, scale: float, digits: int) -> str:
    spread = line["spreads"][0]
    top = _HEAD + _ROW * number
    middle, text = top + _BAR / 2, top + _BAR / 2 + 4.5
    low, high = _LABELS + spread.low * scale, _LABELS + spread.high * scale
    return (
        f'<text x="0" y="{text:g}">{escape(line["contender"])}</text>'
        f'<rect class="bar {line["kind"]}" x="{_LABELS}" y="{top}" width="{spread.median * scale:.1f}" height="{_BAR}"'
        f' rx="2"/><path class="spread" d="M{low:.1f} {middle:g}H{high:.1f}"/>'
        f'<text x="{high + 8:.1f}" y="{text:g}">{spread.median:,.{digits}f}</text>'
    )
