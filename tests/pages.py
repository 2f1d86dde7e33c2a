"""What a page may hold, and names that try to break it."""

from html.parser import HTMLParser
from itertools import pairwise

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; background: url(https://example.invalid/x)",
    "</style></title><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnitirw ni emoc taht sgniht",
    "القط الأسود",
    "🐈‍⬛ cat",
    "W" * 2000,
    "a\x00b\x07c",
    "\udcff",
)


class Parsed(HTMLParser):
    """A page's elements, in order, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> says one attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "input", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        if tag in ("td", "th", "dd"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def refuse_faults(text: str) -> Parsed:
    """Fail if a page is not well formed, loads or runs anything, or lacks what a reader without eyes needs."""
    parsed = Parsed(text)
    assert not parsed.open, f"never closed: {parsed.open}"
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "audio", "video", "base"}
    for tag, attributes in parsed.elements:
        assert not [key for key in attributes if key.startswith("on")], f"<{tag}> runs something"
        for key in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
            value = attributes.get(key)
            if value is not None and not (tag == "a" and key == "href"):
                assert value.startswith(("data:", "#")), f"<{tag} {key}> loads {value[:60]}"
        assert "url(" not in (attributes.get("style") or "").replace("url(#", "")
        if tag == "a":
            assert (attributes["href"] or "").startswith(("#", "https://"))
        if tag == "img":
            assert (attributes.get("alt") or "").strip(), "a picture without words"
    assert "default-src 'none'" in str(parsed.all("meta"))
    levels = [int(tag[1]) for tag, _ in parsed.elements if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    identifiers = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers), identifiers
    for _, attributes in parsed.elements:
        assert (attributes.get("aria-labelledby") or identifiers[0]) in identifiers
        if (attributes.get("href") or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in identifiers
    tables = [i for i, (tag, _) in enumerate(parsed.elements) if tag == "table"]
    assert all(parsed.elements[i + 1][0] == "caption" for i in tables)
    assert all(attributes.get("scope") in ("col", "row", "colgroup", "rowgroup") for attributes in parsed.all("th"))
    assert {"header", "nav", "main", "footer"} <= tags
    assert parsed.all("html") == [{"lang": "en"}]
    return parsed
