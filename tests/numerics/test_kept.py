"""What is kept beside the compiled code is what would be derived again."""

from __future__ import annotations

import json
from pathlib import Path

from neurolim import sources


def test_a_program_is_parsed_once_and_says_the_same_ever_after(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    text = Path(sources.__file__).read_text("utf-8")

    def said(text):
        sources.program.cache_clear()
        return sources.program(text, "neurolim")

    parsed = said(text)
    assert {"ast", "neurolim.kept", "neurolim.kept.keep_text"} <= set(parsed.imported)
    (file,) = tmp_path.iterdir()
    kept = file.read_text()
    assert said(text) == parsed
    file.write_text(json.dumps(["another", []]))
    assert said(text) == ("another", ())
    # Half a file, and what is no program's, are written again.
    for wrong in (kept[:-5], "7", '["one"]'):
        file.write_text(wrong)
        assert said(text) == parsed
        assert file.read_text() == kept
    assert said(f"{text}\n# a remark\n") == parsed
    assert said(text.replace("[:32]", "[:31]", 1)).digest != parsed.digest
    sources.program.cache_clear()
