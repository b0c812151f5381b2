"""Words of a study are words: on no page, and to no program, are they anything else."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path

import jinja2
import pytest
from docutils.core import publish_parts
from matplotlib.figure import Figure as Picture
from tests.running import ROOT
from tests.texts import yaml_of

from neurolim import StudyError, load_study
from neurolim.api import run_study
from neurolim.archive.crate import zenodo
from neurolim.archive.write import _readme
from neurolim.core import Column, Row, Table
from neurolim.pipeline import escapes
from neurolim.pipeline.outline import captions
from neurolim.pipeline.tables import csv_of, write_table
from neurolim.study.read import parse_study

WORDS = (
    "|v - V| <= C eps_",
    "of length eps |ln eps|",
    "*a* **b** ``c`` `d`_ e_ f__ [1]_ |g|",
    ".. include:: /etc/hostname",
    ".. raw:: html",
    ":raw-html:`<script>alert(1)</script>` <b>bold</b> &amp; &lt;",
    "1. first",
    "- entry",
    "\u2022 entry",
    "(i) roman",
    ":field: value",
    ">>> 1 + 1",
    "| line",
    "-a option",
    "====",
    "a:: https://example.org/ x@example.org",
    "{{ 7 * 7 }} {% raw %} {# #}",
    r"$\foo$ \input{a} \write18 % & # ~ ^ _ [x] *y*",
    "=1+1; =2 ; @x",
    '"quoted", \'quoted\'',
    r"a\ b \\ c\\\ d \* e\_",
    "a # b ![x](y) <z> ~~s~~ --- ...",
    "\u03b5 \u2192 0, \u2016v\u2016 \u2264 C, na\u00efve",
)  # fmt: skip


def text_of(page):
    """Return what a reader sees of a page in HTML."""
    return " ".join(html.unescape(re.sub("<[^>]*>", "", page)).split())


def in_rst(text):
    """Return what the report makes of a text; docutils writes what it does not like into it."""
    page = publish_parts(text, writer="html", settings_overrides={"report_level": 1})["body"]
    assert "system-message" not in page
    assert "problematic" not in page
    return page


@pytest.mark.parametrize("words", WORDS)
def test_words_stay_words_in_a_caption(words):
    page = in_rst(f"{escapes.rst(words)}\n\n- {escapes.rst(words)}\n")
    assert text_of(page) == f"{words} {words}"
    assert set(re.findall(r"<(\w+)", page)) == {"p", "ul", "li"}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("template", ["overview", "table", "figure"])
def test_captions_show_titles_claims_and_verdicts_as_they_are_written(tmp_path, words, template):
    study = yaml_of({"model": "linear", "solver": "limit", "title": words, "claim": words})
    (tmp_path / "one.yaml").write_text(study)
    known = captions([str(tmp_path / "one.yaml")], tmp_path)
    known["one"]["verdicts"] = [{"sentence": escapes.rst(f"{words}: agrees")}]
    text = (ROOT / "workflow" / "report" / f"{template}.rst").read_text()
    snakemake = {"config": {"captions": known}, "params": {"study": "one"}}
    page = in_rst(jinja2.Environment().from_string(text).render(snakemake=snakemake))
    seen = text_of(page)
    assert seen.count(words) == 3
    assert f"{words}: agrees" in seen
    assert not re.search(r"<(script|b|img|a|pre|object)\b", page)


def test_every_claim_of_a_study_reaches_the_report_as_it_is_written(tmp_path):
    paths = sorted((ROOT / "config" / "studies").glob("*.yaml"))
    known = captions([str(path) for path in paths], tmp_path)
    for path in paths:
        spec = load_study(path).spec
        claims = [spec.title, spec.cited_claim, *(entry.claim for entry in spec.expect.values())]
        for words in claims:
            assert text_of(in_rst(escapes.rst(words))) == escapes.line(words)
        assert text_of(in_rst(known[path.stem]["claim"])) == escapes.line(spec.cited_claim)


@pytest.mark.parametrize("words", WORDS)
def test_words_stay_words_in_a_table(tmp_path, words):
    table = Table(
        "one", (Column("said", ""), Column("x", words)), (Row({"said": words, "x": 1.0}),)
    )
    path = write_table(tmp_path / "one.csv", table, words, words)
    page = path.with_suffix(".html").read_text()
    assert page.count(html.escape(words)) == 5
    assert not re.search("<(script|b|z)>", page)
    latex = path.with_suffix(".tex").read_text()
    bare = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}", "", latex.replace(r"\$", ""))
    assert r"\foo" not in latex
    assert r"\input" not in latex
    assert not re.search(r"[%$#~^]", bare)
    assert json.loads(path.with_suffix(".json").read_text())["rows"][0]["values"]["said"] == words


@pytest.mark.parametrize(
    "words",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "\n=1",
        "'=1",
        "\uff1d1",
        "a;=1",
        'a; "=1',
    ],
)
def test_no_word_of_a_csv_table_is_a_formula(words):
    table = Table("one", (Column("said", ""),), (Row({"said": words}), Row({"said": "a = b - c"})))
    text = csv_of(table)
    for delimiter in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            for cell in row:
                assert not re.match(r"\s*\"?\s*[=+\-@\uff1d]", cell), cell
    assert text.endswith("\na = b - c\n")


def test_words_stay_words_in_an_archive_s_own_pages():
    words = "<b>*x*</b> [y](z) `t` # &lt;"
    study = parse_study({"model": "linear", "solver": "limit", "title": words, "claim": words})
    page = _readme([study], "a.zip", {}, "2020-01-01", False)
    plain = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", page)
    assert page.startswith("# \\<b\\>\\*x\\*\\<\\/b\\>")
    assert plain.count(words) == 3
    citation = {"authors": [{"name": "A"}], "license": "MIT"}
    deposit = zenodo([study], citation, "1", "2020-01-01")["metadata"]
    assert "<b>" not in deposit["description"]
    assert words in html.unescape(deposit["description"])


@pytest.fixture
def drawn(monkeypatch):
    """Return the pictures that are saved from now on, as SVG."""
    pages: list[str] = []
    save = Picture.savefig

    def saved(picture, name, **more):
        save(picture, name, **more)
        if more["format"] == "svg":
            pages.append(Path(name).read_text("utf-8"))

    monkeypatch.setattr(Picture, "savefig", saved)
    return pages


BROKEN = r"$\foo$ {"


def test_claims_are_drawn_as_they_are_written(mapping, tmp_path, drawn):
    expect = {"voltage_mean": {"order": 1.0, "claim": BROKEN}}
    figures = {"figures": ["rate_plot", "rate_families"]}
    run_study(parse_study(mapping | figures | {"title": BROKEN, "expect": expect}), tmp_path)
    assert len(drawn) == 2
    assert html.escape(BROKEN) in drawn[1]


FIGURE = """
from matplotlib.figure import Figure as Picture

from neurolim.core import Figure
from neurolim.figures.parts.style import symbol


def draw(dataset, expect):
    picture = Picture()
    panel = picture.subplots()
    panel.set_title(f"$x^2$ of {dataset.attrs['title']}")
    panel.set_xlabel(symbol("eps", dataset["eps"].attrs["units"]))
    panel.set_ylabel(dataset["eps"].attrs["long_name"])
    return picture


FIGURE = Figure("a figure of a test", (), lambda options, names: (), draw, lambda: None)
"""


def test_units_and_titles_are_drawn_as_they_are_written(tmp_path, drawn):
    (tmp_path / "own.py").write_text(FIGURE)
    said = {"default": 0.1, "unit": BROKEN, "doc": BROKEN}
    study = {
        "title": BROKEN,
        "model": {"state": {"v": {}}, "drift": {"v": "-v/eps"}, "params": {"eps": said}},
        "solver": "limit",
        "options": {"t_end": 1.0, "records": 2},
        "grid": {"eps": [0.1, 0.2]},
        "figures": [str(tmp_path / "own.py")],
    }
    run_study(parse_study(study), tmp_path / "results")
    (page,) = drawn
    assert page.count(html.escape(BROKEN)) == 2
    # What a figure says itself is mathematics where it wants, also beside words of a study.
    assert ">$x^2$" not in page
    assert page.count("foo") >= 3


@pytest.mark.parametrize("key", ["title", "claim", "paper", "statement", "no_verdict"])
@pytest.mark.parametrize("character", ["\x1b[31m", "\x00", "\u202e", "\ufeff", "\ud800", "\x85"])
def test_characters_that_cannot_be_seen_are_refused(key, character):
    with pytest.raises(StudyError) as caught:
        parse_study({"model": "linear", "solver": "limit", key: f"a{character}b"})
    assert caught.value.key == key
    assert str(caught.value).isprintable()


def test_refusals_hold_no_command_for_a_terminal(tmp_path):
    file = tmp_path / "one.yaml"
    for text in (
        '"\\e[31mx": 1',
        'model: "\\e[2J"',
        '"\\uFEFFtitle": a',
        'grid: {"\\u202Ea": [1]}',
    ):
        file.write_text(f"{text}\n", encoding="utf-8")
        with pytest.raises(StudyError) as caught:
            load_study(file)
        assert str(caught.value).isprintable()
