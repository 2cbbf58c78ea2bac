"""Replaces the figures in docs/performance.md, which stand between markers; the text around them is kept."""

from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


def replace_figures(section: str, title: str, figures: str, document: Path = DOCUMENT) -> None:
    """Replace the figures of a section. A section without markers is appended. Raises SystemExit: no end marker."""
    text = document.read_text()
    begin, end = f"<!-- measured: {section} -->", f"<!-- end of {section} -->"
    if begin not in text:
        text = f"{text.rstrip()}\n\n## {title}\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise SystemExit(f"{document.name} has no {end}")
    document.write_text(f"{before}{begin}\n{figures.strip()}\n{end}{after}")
