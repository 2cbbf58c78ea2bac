"""The figures' places in docs/performance.md: between two marks each; what stands outside them is written by hand."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def put(section: str, title: str, figures: str, page: Path = PAGE) -> None:
    """Takes the place of what this section said before; a section without a place gets one at the end."""
    text = page.read_text()
    begin, end = f"<!-- measured: {section} -->", f"<!-- end of {section} -->"
    if begin not in text:
        text = f"{text.rstrip()}\n\n## {title}\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"{page.name} has no {end}")
    page.write_text(f"{before}{begin}\n{figures.strip()}\n{end}{after}")
