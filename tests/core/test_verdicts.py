"""Verdicts: every rule says agrees, disagrees and undecided where it should."""

from __future__ import annotations

import csv
import math

import pytest

from neurolim.core import Column, Kind, Row, Table, Verdict
from neurolim.core.verdict import (
    alike,
    at_least,
    at_most,
    between,
    by_scores,
    contains,
    exceeds,
    within,
)
from neurolim.pipeline.tables import read_table, write_table

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("given", "kind", "reason"),
    [
        ((1.0, 0.9, 1.1, 1.05), Kind.AGREES, "contains 1.05"),
        ((1.0, 0.9, 1.1, 1.2), Kind.DISAGREES, "below 1.2"),
        ((1.0, 0.9, 1.1, 0.8), Kind.DISAGREES, "above 0.8"),
        ((1.0, 0.9, 1.1, 1.2, 0.11), Kind.AGREES, "contains 1.2 within 0.11"),
        ((NAN, NAN, NAN, 1.0), Kind.UNDECIDED, "nothing measured"),
        ((1.0, -INF, 1.1, 1.0), Kind.UNDECIDED, "no finite interval"),
        ((1.0, 0.0, 2.0, 1.0, 0.0, 0.5), Kind.UNDECIDED, "interval wider than 0.5"),
        ((1.0, 0.9, 1.1, NAN), Kind.NOT_JUDGED, "nothing expected"),
    ],
)
def test_an_interval_contains_what_is_expected(given, kind, reason):
    verdict = contains(*given)
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ((1.0, 1.05, 0.1), Kind.AGREES),
        ((1.0, 1.2, 0.1), Kind.DISAGREES),
        ((1.0, 1.2, 0.1, 0.04), Kind.AGREES),
        ((1.0, 1.2, 0.1, NAN), Kind.UNDECIDED),
        ((NAN, 1.2, 0.1, 0.04), Kind.UNDECIDED),
        ((1.0, NAN, 0.1, 0.04), Kind.NOT_JUDGED),
        # .1 and three errors of .2 would let .7 pass.
        ((1.0, 1.2, 0.1, 0.2, 3.0, "", 0.5), Kind.UNDECIDED),
        ((1.0, 1.2, 0.1, 0.2, 3.0, "", 0.8), Kind.AGREES),
        ((1.0, 1.8, 0.1, 0.2, 3.0, "", 0.5), Kind.DISAGREES),
    ],
)
def test_a_value_is_within_tolerance_and_noise(given, kind):
    assert within(*given).kind == kind


def test_scores_are_judged_by_chance_and_by_what_could_have_been_seen():
    assert by_scores(2.0, 0.3).kind == Kind.AGREES
    assert by_scores(9.0, 1e-6).kind == Kind.DISAGREES
    assert by_scores(2.0, 0.3, critical=40.0).kind == Kind.UNDECIDED
    assert by_scores(9.0, 1e-6, critical=40.0).kind == Kind.DISAGREES
    assert by_scores(2.0, 0.3, critical=4.0, share=0.2).kind == Kind.AGREES
    assert by_scores(2.0, 0.3, critical=4.0, share=0.3).kind == Kind.UNDECIDED
    assert by_scores(9.0, 1e-6, critical=4.0, share=0.3).kind == Kind.DISAGREES
    assert by_scores(NAN, NAN).kind == Kind.UNDECIDED
    assert by_scores(9.0, NAN).kind == Kind.UNDECIDED
    # What could have been seen is unknown.
    assert by_scores(2.0, 0.3, critical=NAN).kind == Kind.UNDECIDED
    assert by_scores(2.0, 0.3, critical=4.0, share=NAN).kind == Kind.UNDECIDED


@pytest.mark.parametrize(
    ("verdict", "expectation"),
    [
        (contains(1.0, 0.9, 1.1, 1.05), "1.05"),
        (contains(1.0, 0.9, 1.1, NAN), ""),
        (at_most(1.0, 2.0), "<= 2"),
        (at_least(1.0, 2.0), ">= 2"),
        (exceeds(1.0, 0.9, 1.1, 2.0), "> 2"),
        (exceeds(1.0, 0.9, 1.1, 2.0, relation=">="), ">= 2"),
        (between(1.0, 0.9, 1.1, 2.0, 2.0), "2"),
        (between(1.0, 0.9, 1.1, -INF, 2.0), "<= 2"),
        (between(1.0, 0.9, 1.1, 2.0, INF), ">= 2"),
    ],
)
def test_readers_see_in_which_relation_a_value_is_to_stand(verdict, expectation):
    assert verdict.expectation == expectation


def test_bounds():
    assert at_least(1.0, 2.0).kind == Kind.DISAGREES
    assert exceeds(1.0, 0.9, 1.1, NAN).kind == Kind.NOT_JUDGED
    assert at_most(1.0, 2.0).kind == Kind.AGREES
    assert at_most(3.0, 2.0).kind == Kind.DISAGREES
    assert at_most(1.0, NAN).kind == Kind.NOT_JUDGED
    assert at_most(NAN, 2.0).kind == Kind.UNDECIDED


TABLE = Table(
    "rates",
    (Column("rate", "1/time", 3, error="rate_error"), Column("rate_error", "1/time", 2)),
    (
        Row({"rate": 1.23456, "rate_error": 0.1}, contains(1.2, 1.1, 1.3, 1.25), "decay",
            {"eps": 0.1, "site": "E_1"}),
        Row({"rate": INF, "rate_error": NAN}, Verdict(Kind.UNDECIDED, reason="50 % & more"),
            "decay", {"eps": 0.01, "site": "<b>"}),
    ),
)  # fmt: skip


def test_a_table_comes_back_as_it_was_written(tmp_path):
    write_table(tmp_path / "rates.csv", TABLE, "title", "claim")
    stored = read_table(tmp_path / "rates.json")
    assert repr(stored) == repr(TABLE)  # NaN is not itself


def test_every_column_of_a_csv_but_words_reads_back_as_numbers(tmp_path):
    path = write_table(tmp_path / "rates.csv", TABLE, "title", "claim")
    with path.open() as stream:
        first, second = csv.DictReader(stream)
    assert list(first) == [
        "quantity", "eps", "site", "rate", "rate_error", "verdict", "reason",
    ]  # fmt: skip
    assert [float(first[name]) for name in ("eps", "rate", "rate_error")] == [0.1, 1.23456, 0.1]
    assert float(second["rate"]) == INF
    assert second["rate_error"] == ""
    assert [first["verdict"], second["verdict"]] == ["agrees", "undecided"]


def test_pages_show_digits_units_and_colours_and_escape_words(tmp_path):
    path = write_table(tmp_path / "rates.csv", TABLE, "A_title <b>", "claim")
    page = path.with_suffix(".html").read_text()
    for text in ("rate [1/time]", ">1.23<", 'agrees"', "&lt;b&gt;", "A_title &lt;b&gt;"):
        assert text in page
    assert "<b>" not in page
    tex = path.with_suffix(".tex").read_text()
    for text in (r"50 \% \& more", r"E\_1", r"A\_title", r"\toprule"):
        assert text in tex


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "odd.json").write_text('{"name": "odd"}')
    with pytest.raises(ValueError, match=r"odd\.json: no table"):
        read_table(tmp_path / "odd.json")


def test_a_table_written_twice_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / name / "rates.csv", TABLE, "title", "claim")
    for kind in ("csv", "json", "html", "tex"):
        one, two = (tmp_path / name / f"rates.{kind}" for name in ("a", "b"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ((1.0, 0.5, 1.5, 0.0), Kind.AGREES),
        ((-1.0, -1.5, -0.5, 0.0), Kind.DISAGREES),
        ((1.0, -0.5, 2.5, 0.0), Kind.UNDECIDED),
        ((1.0, NAN, NAN, 0.0), Kind.UNDECIDED),
        ((NAN, NAN, NAN, 0.0), Kind.UNDECIDED),
    ],
)
def test_a_value_exceeds_a_bound(given, kind):
    assert exceeds(*given).kind == kind


def test_samples_are_alike_where_chance_explains_their_difference():
    assert alike(0.02, 0.5).kind == Kind.AGREES
    assert alike(0.009, 0.5).kind == Kind.DISAGREES
    assert alike(NAN, 0.5, "too few spikes").reason == "too few spikes"
    assert alike(NAN, 0.5).kind == Kind.UNDECIDED


def test_samples_that_could_differ_unseen_are_not_alike():
    assert alike(0.02, 0.6).kind == Kind.UNDECIDED
    assert alike(0.02, 0.6).reason == "a difference of 60% would not be seen"
    assert alike(0.02, NAN).kind == Kind.UNDECIDED
    assert alike(0.009, 0.6).kind == Kind.DISAGREES


def test_a_value_reaches_a_bound():
    assert at_least(2.0, 1.0).kind == Kind.AGREES
    assert at_least(2.0, 3.0).kind == Kind.DISAGREES
    assert at_least(2.0, NAN).kind == Kind.NOT_JUDGED
    assert at_least(NAN, 1.0).kind == Kind.UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "least", "tolerance", "kind", "reason"),
    [
        (0.9, 1.1, 1.0, 0.0, Kind.AGREES, "within the bounds"),
        (0.5, 0.6, -INF, 0.0, Kind.AGREES, "within the bounds"),
        (0.5, 0.6, 1.0, 0.0, Kind.DISAGREES, "below 1"),
        (0.5, 0.6, 1.0, 0.5, Kind.AGREES, "within the bounds"),
        (1.1, 1.2, -INF, 0.0, Kind.DISAGREES, "above 1"),
        (1.1, 1.2, -INF, 0.2, Kind.AGREES, "within the bounds"),
        (NAN, 1.2, -INF, 0.2, Kind.UNDECIDED, "no finite interval"),
    ],
)
def test_an_interval_reaches_between_bounds(low, high, least, tolerance, kind, reason):
    verdict = between(0.5 * (low + high), low, high, least, 1.0, tolerance)
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert verdict.expected == 1.0


@pytest.mark.parametrize(
    ("low", "high", "least", "kind"),
    [
        (0.15, 15.0, 1.0, Kind.UNDECIDED),
        (0.15, 15.0, -INF, Kind.UNDECIDED),
        # On one side of the bound an interval may be as wide as it is.
        (0.1, 0.9, -INF, Kind.AGREES),
        (1.5, 15.0, -INF, Kind.DISAGREES),
    ],
)
def test_a_wide_interval_with_a_bound_inside_decides_nothing(low, high, least, kind):
    assert between(1.5, low, high, least, 1.0, 0.0, 0.5).kind == kind


def test_an_axis_that_is_named_like_a_column_has_a_column_of_its_own():
    table = Table("rates", (Column("rate"),), (Row({"rate": 1.0}, at={"rate": 2.0}),))
    assert table.heads() == ("axis_rate", "rate")
    assert list(table.records()) == [{"axis_rate": 2.0, "rate": 1.0}]


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [(0.98712, 0.0214, "0.987"), (1234.567, 2.3, "1234.6"), (1e-5, 1.0, "1e-05"), (2.0, NAN, "2")],
)
def test_a_number_is_shown_to_the_digits_that_its_error_leaves(tmp_path, value, error, shown):
    row = Row({"rate": value, "rate_error": error})
    table = Table("rates", TABLE.columns, (row,))
    page = write_table(tmp_path / "rates.csv", table, "t", "c").with_suffix(".html").read_text()
    assert f">{shown}</td>" in page
