"""What studies say, as the languages of pages have it: no word of it is markup, command or formula.

Titles, claims, units and labels are lines of words.  Every language in which we write them takes
some letters for something else; here each is told that they are letters.
"""

from __future__ import annotations

import html as markup
import re

#: What spreadsheets take for the beginning of a formula, also as wide letters.
_FORMULA = re.compile(r"(^|;)(\s*[\"']?\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
#: LaTeX's special characters; brackets would be an argument of the end of a row before them.
_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def line(text: str) -> str:
    """Return a text as one line; characters that cannot be seen are replaced."""
    seen = (c if c.isprintable() or c.isspace() else "\ufffd" for c in text)
    return " ".join("".join(seen).split())


def html(text: str) -> str:
    """Return a text as HTML."""
    return markup.escape(line(text))


def rst(text: str) -> str:
    """Return a text as reStructuredText: a backslash before all but letters and digits.

    Source: docutils, reStructuredText Markup Specification, Escaping Mechanism.
    """
    return re.sub(r"([^\w\s]|_)", r"\\\1", line(text))


def markdown(text: str) -> str:
    """Return a text as Markdown: a backslash before all ASCII punctuation.

    Source: CommonMark 0.31, section 2.4.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line(text))


def tex(text: str) -> str:
    """Return a text as LaTeX."""
    return "".join(_TEX.get(letter, letter) for letter in line(text))


def cell(text: str) -> str:
    """Return a text as a cell of a CSV table, with an apostrophe before what would be a formula.

    Some spreadsheets begin a cell after a semicolon, too.

    Source: OWASP, CSV Injection (the letters with which formulas begin).
    """
    return _FORMULA.sub(r"\1\2'", line(text))


def mathtext(text: str) -> str:
    """Return a text as matplotlib draws it: dollars are dollars."""
    return line(text).replace("$", r"\$")
