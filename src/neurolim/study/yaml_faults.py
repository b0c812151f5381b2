"""What a YAML reader complains of, in words for somebody who knows studies and not YAML."""

from __future__ import annotations

import re

#: (what the reader says, the problem, what is right); letters the reader saw come in for {}.
_FAULTS = tuple(
    (re.compile(said, re.DOTALL), problem, allowed)
    for said, problem, allowed in (
        (
            r"mapping values are not allowed",
            "a second ': ' in a line, or a line that is indented too far",
            "key: value; text with ': ' in quotes",
        ),
        (r"found character '\\t'", "a tab", "blanks"),
        (r"found character '(.+)' that", "a word that begins with {}", "the word in quotes"),
        (r"expected ',' or '\]'", "a list whose bracket is not closed", "[one, two]"),
        (r"expected ',' or '\}", "a mapping whose bracket is not closed", "{key: value}"),
        (r"found unexpected ':'", "a ':' in brackets", "words with ':' in quotes"),
        (
            r"expected <block end>",
            "a line that belongs neither to what is before it nor to what is around it",
            "keys of one mapping, and entries of one list, indented alike",
        ),
        (r"sequence entries", "'- ' where no list can begin", "every entry on a line of its own"),
        (r"mapping keys are not", "a key where none can be", "key: value"),
        (r"could not find expected ':'", "a key without ': '", "key: value"),
        (r"unexpected end of stream", "quotes that are not closed", "'text' or \"text\""),
        (r"document separator", "quotes that are not closed", "'text' or \"text\""),
        (r"undefined alias '(.+)'", "alias *{} of no anchor", "&{} before the value, further up"),
        (r"node content, but found '(.+)'", "{} in the place of a value", "key: value"),
        (r"but found another document", "a second document", "one document per file"),
        (
            r"<document start>",
            "something after the end: a bracket too many, or indented less than the first line",
            "all outer keys indented alike",
        ),
        (r"directive|incompatible|tag|URI|expected '[!>]", "a directive or a tag", "neither"),
        (
            r"escape (?:character|sequence)",
            "a backslash that stands for nothing",
            "text in 'single quotes', or two backslashes",
        ),
        (r"indentation indicator|chomping|follow up line", "a broken text block", "|, |-, > or >-"),
        (r"alphabetic or numeric", "an anchor or alias without a name", "&name, *name"),
    )
)


def in_words(said: str) -> tuple[str, str]:
    """Return the problem and what is right, for what the YAML reader says.

    Parameters
    ----------
    said : its complaint
    """
    for pattern, problem, allowed in _FAULTS:
        match = pattern.search(said)
        if match:
            seen = match[1] if match.lastindex else ""
            seen = "the end" if seen.endswith(" end>") else seen
            return problem.replace("{}", seen), allowed.replace("{}", seen)
    return "text that is no YAML", "valid YAML"
