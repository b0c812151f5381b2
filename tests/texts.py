"""YAML texts of tests."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML

from neurolim.study.yaml import parse_yaml


def yaml_of(content: Any) -> str:
    """Return a YAML text that says something, block by block, without anchors."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.width = 1000
    writer.representer.ignore_aliases = lambda *_: True
    stream = io.StringIO()
    writer.dump(content, stream)
    return stream.getvalue()


def said_by(text: str) -> Any:
    """Return what a YAML text says."""
    return parse_yaml(text).content
