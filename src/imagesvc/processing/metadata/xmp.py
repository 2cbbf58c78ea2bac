"""Read the few XMP properties that matter (ISO 16684-1) out of a packet, by namespace and name.

Only properties of the picture itself count: those on or directly under ``rdf:Description``, not what lies nested in
histories and ingredients. Of the packet only the element with the properties is parsed: a document type, and so an
entity, which would stand before it, never gets to the parser.
"""

import re
from xml.etree import ElementTree as Xml

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_NAMESPACES = {
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://cipa.jp/exif/1.0/exifEX": "exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
}
MAX_PACKET_BYTES = 2 * 1024 * 1024

Properties = dict[str, str]
"""``exif:FNumber`` -> its text; of a list, the first item"""


def properties(packet: bytes) -> Properties | None:
    """None when the packet cannot be read."""
    document = _document(packet)
    if document is None:
        return None
    try:
        root = Xml.fromstring(document)  # noqa: S314 -- without declarations, and of bounded size
    except (Xml.ParseError, ValueError, LookupError):
        return None
    found: Properties = {}
    for rdf in root.iter(_RDF + "RDF"):
        for description in rdf.findall(_RDF + "Description"):
            for name, value in description.attrib.items():
                _keep(found, name, value)
            for child in description:
                _keep(found, child.tag, _value(child))
        break
    return found


def _document(packet: bytes) -> bytes | None:
    if len(packet) > MAX_PACKET_BYTES:
        return None
    if packet[:2] in (b"\xfe\xff", b"\xff\xfe") or b"\0" in packet[:64].strip(b"\0"):
        order = (
            "utf-16"
            if packet[:2] in (b"\xfe\xff", b"\xff\xfe")
            else "utf-16-le"
            if packet[1:2] == b"\0"
            else "utf-16-be"
        )
        packet = packet.decode(order, "replace").encode("utf-8", "replace")
    match = re.search(rb"<(?P<name>(?:\w+:)?(?:xmpmeta|xapmeta|RDF))\b.*</(?P=name)\s*>", packet, re.DOTALL)
    return match[0].decode("utf-8", "replace").encode() if match else None


def _keep(found: Properties, name: str, value: str | None) -> None:
    namespace, _, local = name.removeprefix("{").partition("}")
    prefix = _NAMESPACES.get(namespace)
    if prefix and value and value.strip():
        found.setdefault(f"{prefix}:{local}", value.strip())


def _value(element: Xml.Element) -> str | None:
    """Its text, or the first item's of a list or of language alternatives."""
    if len(element) == 0:
        return element.text
    item = element.find(f"{_RDF}Seq/{_RDF}li")
    for kind in ("Bag", "Alt"):
        item = item if item is not None else element.find(f"{_RDF}{kind}/{_RDF}li")
    return item.text if item is not None else None
