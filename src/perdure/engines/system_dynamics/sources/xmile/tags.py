"""Tags: an XML document as a small tree, with the line of each tag.

Names are without namespace: files of several programs use prefixes that they don't declare. Declarations of
entities are refused, so a document can't grow while it is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from defusedxml import DefusedXmlException
from defusedxml import sax as safe_sax

from perdure.engines.system_dynamics.sources.problems import Unservable

__all__ = ["Tag", "parse"]

_MAX_DEPTH = 64


@dataclass(slots=True)
class Tag:
    """A tag: its name without prefix, attributes, tags within it, the text before and between them."""

    name: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    tags: list["Tag"] = field(default_factory=list)
    text: str = ""

    def get(self, name: str) -> str | None:
        """Return an attribute, if it isn't empty."""
        value = self.attributes.get(name, "").strip()
        return value or None

    def each(self, *names: str) -> Iterator["Tag"]:
        """Yield the tags within this one that have one of the names."""
        return (tag for tag in self.tags if tag.name in names)

    def first(self, name: str) -> "Tag | None":
        """Return the first tag within this one that has the name."""
        return next(self.each(name), None)

    def move_to(self, line: int) -> None:
        """Let this tag and all within it have a line."""
        self.line = line
        for tag in self.tags:
            tag.move_to(line)

    def content(self, name: str) -> str | None:
        """Return the text of the first such tag, without blanks around it; None if there is none."""
        tag = self.first(name)
        return None if tag is None else tag.text.strip()


def parse(document: bytes) -> Tag:
    """Return the root of an XML document.

    Raises
    ------
    Unservable
        If it isn't XML, declares entities, or is nested too deeply.
    """
    handler = _Handler()
    try:
        safe_sax.parse(BytesIO(document), handler)
    except SAXParseException as error:
        raise Unservable(f"it isn't XML: {error.getMessage()} in line {error.getLineNumber()}") from None
    except DefusedXmlException:
        raise Unservable("it declares entities, which aren't read") from None
    return handler.root.tags[0]


class _Handler(ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.root = Tag("", 0)
        self._path = [self.root]
        self._texts: list[list[str]] = [[]]
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 - the name of SAX
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 - the name of SAX
        if len(self._path) > _MAX_DEPTH:
            raise Unservable(f"its tags are nested more than {_MAX_DEPTH} levels deep")
        line = 0 if self._locator is None else self._locator.getLineNumber() or 0
        # Where a program adds an attribute of its own by the name of a standard one, the standard one counts.
        given = sorted(attrs.items(), key=lambda item: ":" not in item[0])
        tag = Tag(_local(name), line, {_local(key): value for key, value in given})
        self._path[-1].tags.append(tag)
        self._path.append(tag)
        self._texts.append([])

    def endElement(self, name: str) -> None:  # noqa: N802 - the name of SAX
        self._path.pop().text = "".join(self._texts.pop())

    def characters(self, content: str) -> None:
        # The parser gives each line of a text on its own; joined one by one they would take quadratic time.
        self._texts[-1].append(content)


def _local(name: str) -> str:
    return name.rpartition(":")[2]
