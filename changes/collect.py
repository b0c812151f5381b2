"""Move the change fragments of this folder to a new section of CHANGELOG.md."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

KINDS = ("added", "changed", "fixed", "removed")
MARK = "<!-- releases -->\n"


def fragments(folder: Path) -> dict[str, list[Path]]:
    """Return the fragments by kind, in the order of their names; refuse other files."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        match = re.fullmatch(r"[a-z0-9-]+\.([a-z]+)\.md", path.name)
        if match is None or match[1] not in KINDS:
            raise SystemExit(f"{path.name}: not <topic>.<{'|'.join(KINDS)}>.md")
        found[match[1]].append(path)
    return found


def section(version: str, day: date, found: dict[str, list[Path]]) -> str:
    """Return the changelog section of a version."""
    lines = [f"\n## {version} ({day.isoformat()})\n"]
    for kind, paths in found.items():
        if paths:
            lines.append(f"\n### {kind.capitalize()}\n\n")
            lines += [f"- {' '.join(path.read_text('utf-8').split())}\n" for path in paths]
    return "".join(lines)


def collect(root: Path, version: str, day: date) -> None:
    """Write the section of a version into CHANGELOG.md and delete its fragments."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise SystemExit(f"{version!r}: not a version such as 1.2.3")
    found = fragments(root / "changes")
    paths = [path for kind in found.values() for path in kind]
    if not paths:
        raise SystemExit("no fragments in changes/")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text("utf-8")
    changelog.write_text(text.replace(MARK, MARK + section(version, day, found), 1), "utf-8")
    for path in paths:
        path.unlink()


if __name__ == "__main__":
    collect(Path(__file__).parents[1], sys.argv[1], date.today())
