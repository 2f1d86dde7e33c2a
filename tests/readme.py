"""The README's component tables, made from the components: ``python tests/readme.py`` writes them anew."""

import ast
import re
from pathlib import Path

from advcli import registry

README = Path(__file__).parent.parent / "README.md"
_TABLE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(family: str) -> str:
    """Make the Markdown table of a family: names, options with their defaults, summaries with their papers."""
    rows = ["| name | options | what it is |", "|---|---|---|"]
    for name in registry.names(family):
        source = Path(registry.__file__).parent / family / f"{name.replace('-', '_')}.py"
        paper = re.search(r"https://\S+[^\s,;.)]", ast.get_docstring(ast.parse(source.read_text())) or "")
        summary = registry.summary(family, name).rstrip(".").replace("|", "\\|")
        cited = f"{summary} ([paper]({paper[0]}))" if paper else summary
        options = ", ".join(f"`{key}={value}`" for key, value in registry.options(family, name).items())
        rows.append(f"| `{name}` | {options} | {cited} |")
    return "\n".join(rows) + "\n"


def renewed(text: str) -> str:
    """Return the README with every table as it should be."""
    return _TABLE.sub(lambda match: match[1] + table(match[2]) + match[3], text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
