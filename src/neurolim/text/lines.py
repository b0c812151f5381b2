"""How the program of a model that is a text is written, line by line."""

from __future__ import annotations

from collections.abc import Iterable

from neurolim.core import Param

#: Before the key of the equation that a line of the program is.
KEY = "  # "


def key_at(program: str, position: str) -> str:
    """Return the key of the equation in a line of a program; nothing where there is none.

    Parameters
    ----------
    program : its text
    position : a name of the program and the number of the line, "name:12"
    """
    number = position.rpartition(":")[2]
    line = program.split("\n")[int(number) - 1] if number.isdecimal() else ""
    return line.partition(KEY)[2]


def tuple_text(parts: Iterable[str]) -> str:
    """Return a tuple as the program says it."""
    return f"({''.join(f'{part}, ' for part in parts)})"


def failing(key: str) -> tuple[str, str, str]:
    """Return what the program says where parameters give no numbers."""
    return (
        "    except (ArithmeticError, ValueError) as error:",
        "        problem = f'no number with these parameters: {error}'",
        f"        raise StudyError({key!r}, problem, 'other parameters') from None",
    )


def param_text(param: Param) -> str:
    """Return a parameter as the program says it."""
    usual = Param(param.name, None)
    more = [
        f"{word}={getattr(param, word)!r}"
        for word in ("kind", "low", "high", "positive")
        if getattr(param, word) != getattr(usual, word)
    ]
    own = (param.name, param.default, param.unit, param.doc)
    return f"Param({', '.join([*map(repr, own), *more])})"
