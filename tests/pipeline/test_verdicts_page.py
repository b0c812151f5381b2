"""The page of verdicts: every verdict of every study, grouped, escaped, and none invented."""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.texts import yaml_of

from neurolim import StudyError, cli, core
from neurolim.core import Column, Kind, Row, Table, Verdict
from neurolim.pipeline.analyse import all_pages
from neurolim.pipeline.chunks import chunk_paths
from neurolim.pipeline.collect import RUNS, page_record
from neurolim.pipeline.digests import digest_of, stage_digests, verdicts_digest
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.tables import write_table
from neurolim.pipeline.verdicts import write_verdicts
from neurolim.store import store
from neurolim.study.read import load_study, parse_study

ROOT = Path(__file__).parents[2]
ALL_KINDS = Table(
    "convergence_rate",
    (Column("order"),),
    (
        Row(
            {"order": 1.01},
            Verdict(Kind.AGREES, 1.01, 0.9, 1.1, 1.0, 0.03, "contains 1"),
            "voltage_mean",
            {"sigma": 1.0},
        ),
        Row(
            {"order": 0.4},
            Verdict(Kind.DISAGREES, 0.4, 0.3, 0.5, 1.0, reason="below 1"),
            "voltage_mean",
            {"sigma": 2.0},
        ),
        Row({"order": 2.0}, Verdict(Kind.UNDECIDED, reason="too few"), "voltage_variance"),
        Row({"order": 2.0}, Verdict(Kind.NOT_JUDGED, 2.0, 1.9, 2.1), "voltage_variance"),
        Row({"order": 3.0}, None, "shown, not judged"),
    ),
)
LEVELS = Table("convergence_levels", (Column("level"),), (Row({"level": 0.1}),))


class Page(HTMLParser):
    """A page as a browser reads it: its text, tags, links and headings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.headings: list[str] = []
        self._open = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._open = tag
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data
        if self._open in ("h2", "h3", "h4") and data.strip():
            self.headings.append(data)


def written(folder: Path, name: str, mapping: dict[str, Any], **changes: Any) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml_of(mapping | changes), "utf-8")
    return path


def analysed(path: Path, results: Path, *tables: Table, failed: dict[str, str] | None = None):
    """Leave what an analysis of a study leaves, with tables made by hand; return its layout."""
    study = load_study(path)
    layout, digests = layout_of(study, results), stage_digests(study)
    layout.home.mkdir(parents=True)
    store.write_record(layout.data, {"digest": digests["collect"], "sha256": "d"})
    from_data = {"digest": digests["reduce"], "data": "d", "sha256": "s"}
    store.write_record(layout.statistics, from_data)
    by_hand = {table.name: table for table in tables}
    record = {}
    for page in all_pages(study):
        for file in layout.files_of(page):
            file.parent.mkdir(exist_ok=True)
            file.write_text(page.name)
        if page.kind == "tables" and page != RUNS:
            table = by_hand.get(page.name, Table(page.name, LEVELS.columns, LEVELS.rows))
            write_table(layout.page(page, "csv"), table, study.spec.title, study.spec.claim)
        elif page == RUNS:
            write_table(
                layout.page(page, "csv"), Table("runs", (), ()), study.spec.title, study.spec.claim
            )
        made_from = {
            "digest": digests[page.key],
            "source": "d" if page == RUNS else digest_of(["d", "s"]),
        }
        failure = {"failed": (failed or {}).get(page.key, "")}
        record[page.key] = page_record(layout, page, made_from) | failure
    store.write_note(layout.collection, {RUNS.key: record.pop(RUNS.key)})
    store.write_note(layout.analysis, record)
    return layout


def stored(results: Path) -> dict[str, Any]:
    """Return what the JSON file says, by study."""
    content = json.loads((results / "verdicts.json").read_text("utf-8"))
    return {entry["study"]: entry for entry in content["studies"]}


def rows(results: Path) -> list[dict[str, str]]:
    with (results / "verdicts.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def judged(tmp_path, mapping):
    """Return a study whose tables hold every kind of verdict, and the folder of its results."""
    mapping["expect"] = {"voltage_mean": {"order": 1.0, "claim": "no rate"}}
    path = written(tmp_path, "judged", mapping, paper="A & B 1999", statement="Theorem 3")
    analysed(path, tmp_path / "results", ALL_KINDS)
    return path, tmp_path / "results"


def test_every_verdict_stands_in_all_three_files_with_all_its_numbers(judged):
    path, results = judged
    page = Page(write_verdicts([path], results))
    for kind in Kind:
        assert f"1 {kind}" in page.text
    for words in ("1.01", "[0.9, 1.1]", "contains 1", "sigma=2", "below 1", "(no rate)"):
        assert words in page.text
    assert "shown, not judged" not in page.text
    first, second, third, fourth = stored(results)["judged"]["verdicts"]
    assert first == {
        "table": "convergence_rate",
        "quantity": "voltage_mean",
        "at": {"sigma": 1.0},
        "claimed": "no rate",
        "kind": "agrees",
        "measured": 1.01,
        "low": 0.9,
        "high": 1.1,
        "expected": 1.0,
        "tolerance": 0.03,
        "reason": "contains 1",
        "relation": "=",
    }
    assert [entry["kind"] for entry in (second, third, fourth)] == [*map(str, Kind)][1:]
    assert third["measured"] is None
    lines = rows(results)
    assert [line["verdict"] for line in lines] == [str(kind) for kind in Kind]
    assert float(lines[0]["low"]) == 0.9
    assert lines[0]["at"] == "sigma=1"
    assert lines[2]["measured"] == ""


def test_colours_have_words_beside_them(judged):
    path, results = judged
    text = write_verdicts([path], results).read_text("utf-8")
    for kind in Kind:
        assert re.search(rf'<span class="{kind.replace(" ", "-")}">. {kind}</span>', text)
        assert text.count(f'<i class="{kind.replace(" ", "-")}"') == 1


def test_studies_are_grouped_by_paper_and_statement_with_numbers_as_numbers(tmp_path, mapping):
    said = {
        "later": ("Anybody 2020", "Fig. 10"),
        "alone": ("", ""),
        "other": ("Zed 1990", "Theorem 1"),
        "early": ("Anybody 2020", "Fig. 9"),
        "twin": ("Anybody 2020", "Fig. 10"),
    }
    paths = [
        written(tmp_path, name, mapping, title=name, paper=paper, statement=statement)
        for name, (paper, statement) in said.items()
    ]
    results = tmp_path / "results"
    page = Page(write_verdicts(paths, results))
    assert page.headings == [
        *("Anybody 2020", "Fig. 9", "early", "Fig. 10", "later", "twin"),
        *("Zed 1990", "Theorem 1", "other", "Other studies", "alone"),
    ]
    first = [(results / f"verdicts.{kind}").read_bytes() for kind in ("html", "csv", "json")]
    write_verdicts(paths[::-1], results)
    again = [(results / f"verdicts.{kind}").read_bytes() for kind in ("html", "csv", "json")]
    assert first == again


def test_words_of_a_study_are_words(tmp_path, mapping):
    words = {
        "title": "<b>bold</b> & $\\foo$ -- \u2028 x",
        "paper": "=<script>alert(1)</script>",
        "statement": '|x| < 3 "quoted"',
        "claim": "<img src=x onerror=y> |v - V| <= C eps_",
    }
    path = written(tmp_path, "hostile", mapping, **words)
    row = Row({}, Verdict(Kind.AGREES, reason="<i>\x1b"), "<u>", {"site": "</table>"})
    analysed(path, tmp_path, Table("convergence_rate", (), (row,)))
    page = Page(write_verdicts([path], tmp_path))
    assert not page.tags & {"b", "script", "img", "u"}
    for word in (*words.values(), "<i>\ufffd", "<u>", "site=</table>"):
        assert " ".join(word.split()) in page.text
    (line,) = rows(tmp_path)
    assert line["paper"] == "'=<script>alert(1)</script>"


def test_the_page_loads_nothing_and_links_to_files_that_are_there(judged):
    path, results = judged
    page = Page(write_verdicts([path], results))
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert {link for link in page.links if not (results / link).is_file()} == set()
    assert set(page.links) == {
        "judged/tables/runs.html",
        "judged/tables/convergence_rate.html",
        "judged/tables/convergence_levels.html",
        "judged/figures/rate_plot.svg",
    }


def test_costs_stand_on_the_page_only(judged):
    path, results = judged
    write_verdicts([path], results)
    before = [(results / f"verdicts.{kind}").read_bytes() for kind in ("csv", "json")]
    assert "cost: -" in (results / "verdicts.html").read_text("utf-8")
    cost = chunk_paths(load_study(path), layout_of(load_study(path), results))[0].with_suffix(
        ".cost"
    )
    cost.parent.mkdir()
    store.write_note(cost, {"core_seconds": 12.5})
    page = Page(write_verdicts([path], results))
    assert "cost: 12.5 core seconds" in page.text
    assert [(results / f"verdicts.{kind}").read_bytes() for kind in ("csv", "json")] == before


def test_a_table_with_one_subject_is_named_by_it(tmp_path, mapping):
    path = written(tmp_path, "subject", mapping)
    row = Row({}, Verdict(Kind.AGREES, 0.5), at={"noise": 0.2})
    analysed(path, tmp_path, Table("convergence_rate", (), (row,)))
    page = Page(write_verdicts([path], tmp_path))
    assert page.text.count("convergence rate") == 3  # the table's name, its subject, the link
    (entry,) = stored(tmp_path)["subject"]["verdicts"]
    assert entry["quantity"] == ""
    assert entry["at"] == {"noise": 0.2}


def test_a_study_without_verdict_says_why(tmp_path, mapping):
    said = written(tmp_path, "said", mapping, no_verdict="Only seen in a picture.")
    unsaid = written(tmp_path, "unsaid", mapping)
    waiting = written(tmp_path, "waiting", mapping, no_verdict="Only seen in a picture.")
    for path in (said, unsaid):
        analysed(path, tmp_path)
    page = Page(write_verdicts([said, unsaid, waiting], tmp_path))
    assert {line["study"]: line["reason"] for line in rows(tmp_path)} == {
        "said": "Only seen in a picture.",
        "unsaid": "no table judges it",
        "waiting": "not run",
    }
    assert {line["verdict"] for line in rows(tmp_path)} == {"not judged"}
    assert "3 studies, 3 without a verdict (1 not run)" in page.text


def test_a_page_that_could_not_be_made_is_named(tmp_path, mapping):
    path = written(tmp_path, "broken", mapping)
    failed = {"tables/convergence_rate": "no <levels>", "figures/rate_plot": "no ink"}
    analysed(path, tmp_path, ALL_KINDS, failed=failed)
    page = Page(write_verdicts([path], tmp_path))
    assert "tables/convergence_rate failed: no <levels>" in page.text
    entry = stored(tmp_path)["broken"]
    assert entry["failed"] == failed
    assert entry["no_verdict"] == "a table could not be made"
    assert entry["verdicts"] == []


def test_verdicts_of_another_study_or_altered_by_hand_do_not_count(judged, mapping):
    path, results = judged
    table = layout_of(load_study(path), results).home / "tables" / "convergence_rate.json"
    table.write_text(table.read_text("utf-8").replace('"disagrees"', '"agrees"'), "utf-8")
    write_verdicts([path], results)
    entry = stored(results)["judged"]
    assert entry["verdicts"] == []
    assert "altered" in entry["failed"]["tables/convergence_rate"]
    written(path.parent, "judged", mapping, seed=8)
    write_verdicts([path], results)
    assert stored(results)["judged"]["no_verdict"].startswith("made from another study")


def test_the_command_writes_the_page_and_says_where(judged, capsys):
    path, results = judged
    with pytest.raises(SystemExit) as end:
        cli.main(["verdicts", str(path), "--results", str(results)])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == str(results / "verdicts.html")


def test_unknown_files_are_refused(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere\.yaml"):
        write_verdicts([tmp_path / "nowhere.yaml"], tmp_path)


def test_a_study_says_its_paper_and_statement_and_they_are_no_part_of_its_numbers(mapping):
    plain = parse_study(mapping)
    assert (plain.spec.paper, plain.spec.statement, plain.spec.no_verdict) == ("", "", "")
    assert plain.spec.cited_claim == "none"
    said = parse_study(mapping | {"paper": "A 1999", "statement": "Fig. 1", "no_verdict": "x"})
    assert said.spec.cited_claim == "A 1999, Fig. 1: none"
    assert said.digest(0, said.n_runs) == plain.digest(0, plain.n_runs)
    for key in ("paper", "statement", "no_verdict"):
        with pytest.raises(StudyError) as refused:
            parse_study(mapping | {key: 2020})
        assert refused.value.key == key


def test_a_statement_that_moves_out_of_the_paper_makes_the_page_again(mapping):
    together = parse_study(mapping | {"paper": "X 2020, Theorem 1"})
    apart = parse_study(mapping | {"paper": "X 2020", "statement": "Theorem 1"})
    assert together.spec.cited_claim == apart.spec.cited_claim
    assert stage_digests(together) == stage_digests(apart)
    assert verdicts_digest(together) != verdicts_digest(apart)


@cache
def applied(name: str) -> list[Any]:
    """Return what a statistic gives of the datasets of its own known answers, with its options."""
    statistic = core.get("statistic", name)
    return [(statistic.apply(data, **options), options) for data, options, _ in statistic.exact()]


def judges(name: str, expect: dict[str, Any]) -> bool:
    """Return whether a statistic judges what its own known answers were measured on."""
    statistic = core.get("statistic", name)
    return any(
        table.verdicts
        for dataset, options in applied(name)
        for table in statistic.judge(dataset, options, expect)
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config" / "studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_study_judges_or_says_why_not(path):
    study = load_study(path)
    assert study.spec.paper
    assert study.spec.statement
    judged = any(judges(choice.name, study.expectations()) for choice in study.statistics)
    assert judged != bool(study.spec.no_verdict)
