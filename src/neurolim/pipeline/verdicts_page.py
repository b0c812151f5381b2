"""The page of verdicts: paper by paper what is claimed, what was measured, and how it compares.

One HTML file without programs, fonts or pictures of its own.  Every word of a study is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

from neurolim.core import Kind, Row, Table, Verdict
from neurolim.pipeline import escapes
from neurolim.pipeline.layout import Page
from neurolim.pipeline.verdicts import NOT_RUN, Outcome, claimed
from neurolim.study.study import Study

#: Where a table or figure lies as seen from the page.
Link = Callable[[Study, Page], str]

_SIGNS = {Kind.AGREES: "✓", Kind.DISAGREES: "✗", Kind.UNDECIDED: "?", Kind.NOT_JUDGED: "–"}
_OWN = "Other studies"
#: Tables longer than this are folded.
_LONG = 12
_STYLE = """
:root { --agrees: #1a7a3c; --disagrees: #b3261e; --undecided: #8a5f00; --not-judged: #5f6368; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 1.5rem auto;
  padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 2px solid #222; }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem; color: #444; }
h4 { font-size: 1.05rem; margin: 0; }
p { margin: .3rem 0 .6rem; }
a { color: #1a56a0; }
article { border: 1px solid #ddd; border-radius: 6px; padding: .8rem 1rem; margin: .6rem 0 1rem; }
.claim { color: #444; max-width: 54rem; }
.quiet, small { color: #5f6368; }
.kinds { display: flex; flex-wrap: wrap; gap: .2rem .5rem; list-style: none; padding: 0;
  margin: .4rem 0; }
.kinds li { white-space: nowrap; }
.agrees, .disagrees, .undecided, .not-judged { font-weight: 600; }
.agrees { color: var(--agrees); } .disagrees { color: var(--disagrees); }
.undecided { color: var(--undecided); } .not-judged { color: var(--not-judged); }
.kinds li { border: 1px solid; border-radius: 1rem; padding: 0 .6rem; }
.strip { display: flex; height: .6rem; border-radius: 3px; overflow: hidden; margin: .5rem 0; }
.strip i { flex: 1 1 0; border-right: 1px solid #fff; background: currentcolor; }
.strip i:last-child { border: 0; }
.overview { width: auto; }
.overview td { vertical-align: middle; padding-top: .1rem; padding-bottom: .1rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
summary { cursor: pointer; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #222; }
th, td { padding: .25rem .8rem .25rem 0; vertical-align: top; }
td { border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
tbody th { border: 0; padding-top: .6rem; }
td[data-head=interval], td[data-head=verdict] { white-space: nowrap; }
.failed { color: var(--disagrees); }
@media (max-width: 48rem) {
  .wide thead { display: none; }
  .wide tr, .wide td, .wide th { display: block; border: 0; padding: 0; }
  .wide tr { border-bottom: 1px solid #ddd; padding: .3rem 0; }
  .wide td { white-space: normal; padding-left: 6rem; }
  .wide td::before { content: attr(data-head); float: left; margin-left: -6rem; color: #5f6368; }
  .wide td:empty { display: none; }
}
"""
_HEADS = ("quantity", "at", "measured", "interval", "expected", "verdict", "reason")


def page_of(
    outcomes: Sequence[Outcome], link: Link, costs: Mapping[str, float] | None = None
) -> str:
    """Return the page of verdicts.

    Parameters
    ----------
    outcomes : what the studies say, in the order of the page
    link : (study, table or figure) -> where it lies as seen from the page
    costs : core seconds by name of a study, NaN where they are not known; None leaves them out
    """
    papers = [
        (paper or _OWN, list(of_paper))
        for paper, of_paper in groupby(outcomes, lambda outcome: outcome.study.spec.paper)
    ]
    parts = [_head(outcomes), _overview(papers)]
    for number, (paper, of_paper) in enumerate(papers, 1):
        parts.append(f'<section id="paper-{number}">\n<h2>{escapes.html(paper)}</h2>')
        for statement, studies in groupby(of_paper, lambda outcome: outcome.study.spec.statement):
            if statement:
                parts.append(f"<h3>{escapes.html(statement[:1].upper() + statement[1:])}</h3>")
            parts += [
                _study(outcome, link, None if costs is None else costs[outcome.study.name])
                for outcome in studies
            ]
        parts.append("</section>")
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Verdicts</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _class(kind: Kind) -> str:
    return str(kind).replace(" ", "-")


def _kinds(kinds: Sequence[Kind]) -> str:
    """Return how many verdicts there are of each kind, as coloured words."""
    items = "".join(
        f'<li class="{_class(kind)}">{_SIGNS[kind]} {kinds.count(kind)} {kind}</li>'
        for kind in Kind
        if kind in kinds
    )
    return f'<ul class="kinds">{items}</ul>'


def _strip(kinds: Sequence[Kind]) -> str:
    """Return a strip with a coloured field per verdict; the words stand beside it."""
    fields = "".join(f'<i class="{_class(kind)}" title="{kind}"></i>' for kind in kinds)
    return f'<div class="strip" aria-hidden=true>{fields}</div>'


def _head(outcomes: Sequence[Outcome]) -> str:
    kinds = [kind for outcome in outcomes for kind in outcome.kinds]
    silent = sum(bool(outcome.silence) for outcome in outcomes)
    waiting = sum(outcome.state == NOT_RUN for outcome in outcomes)
    sentence = f"{_count(len(outcomes), 'study', 'studies')}"
    if silent:
        sentence += f", {silent} without a verdict"
    if waiting:
        sentence += f" ({waiting} not run)"
    return (
        f"<h1>Verdicts</h1>\n<p>What was measured, beside what is claimed or derived. {sentence}."
        f"</p>\n{_kinds(kinds)}"
        '<p class="quiet"><em>Undecided</em> means that the measurement cannot tell, '
        "<em>not judged</em> that nothing is expected or that no table can judge.</p>"
    )


def _overview(papers: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    """Return the list of papers, each with its verdicts."""
    if len(papers) < 2:
        return ""
    rows = []
    for number, (paper, outcomes) in enumerate(papers, 1):
        kinds = [kind for outcome in outcomes for kind in outcome.kinds]
        rows.append(
            f'<tr><td><a href="#paper-{number}">{escapes.html(paper)}</a></td>'
            f"<td>{_kinds(kinds)}</td></tr>"
        )
    return f'<table class="overview"><tbody>{"".join(rows)}</tbody></table>'


def _study(outcome: Outcome, link: Link, cost: float | None) -> str:
    """Return the block of a study: claim, verdicts, why there are none, links, cost."""
    study = outcome.study
    heading = escapes.html(study.spec.title or study.name)
    parts = [f'<article id="study-{study.name}">', f"<h4>{heading}</h4>"]
    if study.spec.claim:
        parts.append(f'<p class="claim">{escapes.html(study.spec.claim)}</p>')
    if outcome.judged:
        kinds = outcome.kinds
        parts += [_strip(kinds), _kinds(kinds), _folded(outcome, link)]
    else:
        kind = f'<span class="not-judged">{_SIGNS[Kind.NOT_JUDGED]} not judged</span>'
        parts.append(f"<p>{kind}: {escapes.html(outcome.silence)}</p>")
    for key, why in (outcome.failed or {}).items():
        parts.append(f'<p class="failed">{escapes.html(key)} failed: {escapes.html(why)}</p>')
    parts.append(_foot(outcome, link, cost))
    return "\n".join([*parts, "</article>"])


def _folded(outcome: Outcome, link: Link) -> str:
    count = len(outcome.judged)
    state = " open" if count <= _LONG else ""
    words = _count(count, "verdict", "verdicts")
    heads = "".join(f"<th scope=col>{head}</th>" for head in _HEADS)
    body = "".join(_tables(outcome, link))
    return (
        f"<details{state}><summary>{words}</summary><div class=wide><table><thead><tr>{heads}</tr>"
        f"</thead>{body}</table></div></details>"
    )


def _tables(outcome: Outcome, link: Link) -> Iterator[str]:
    """Yield the verdicts of each table, below its name."""
    for name, judged in groupby(outcome.judged, lambda entry: entry[0].name):
        where = _anchor(link(outcome.study, Page("tables", name)), name)
        rows = "".join(_row(outcome.study, *entry) for entry in judged)
        yield f"<tbody><tr><th scope=rowgroup colspan={len(_HEADS)}>{where}</th></tr>{rows}</tbody>"


def _row(study: Study, table: Table, row: Row, verdict: Verdict) -> str:
    expected, claim = escapes.html(verdict.expectation or "-"), claimed(study, row)
    if claim:
        expected += f" <small>({escapes.html(claim)})</small>"
    interval = "-"
    if not (math.isnan(verdict.low) or math.isnan(verdict.high)):
        interval = f"[{_number(verdict.low)}, {_number(verdict.high)}]"
    kind = f'<span class="{_class(verdict.kind)}">{_SIGNS[verdict.kind]} {verdict.kind}</span>'
    cells = (
        escapes.html(_spaced(row.quantity or table.name)),
        escapes.html(row.coordinates),
        _number(verdict.measured),
        interval,
        expected,
        kind,
        escapes.html(verdict.reason),
    )
    row_of = zip(_HEADS, cells, strict=True)
    return f"<tr>{''.join(f'<td data-head={head}>{cell}</td>' for head, cell in row_of)}</tr>"


def _foot(outcome: Outcome, link: Link, cost: float | None) -> str:
    """Return the links to tables and figures of a study, its name and its cost."""
    parts = []
    for kind in ("tables", "figures"):
        anchors = [
            _anchor(link(outcome.study, page), page.name)
            for page in outcome.pages
            if page.kind == kind
        ]
        if anchors:
            parts.append(f"{kind}: {', '.join(anchors)}")
    parts.append(f"study: {escapes.html(outcome.study.name)}")
    if cost is not None:
        parts.append(f"cost: {'-' if math.isnan(cost) else f'{cost:.3g} core seconds'}")
    return f'<p class="quiet">{"; ".join(parts)}</p>'


def _anchor(address: str, name: str) -> str:
    return f'<a href="{escapes.html(quote(address))}">{escapes.html(_spaced(name))}</a>'


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _count(number: int, single: str, many: str) -> str:
    return f"{number} {single if number == 1 else many}"
