"""Reads the XMP properties in use (ISO 16684-1) out of a packet, by namespace and name.

Only properties of the picture itself count: those on or directly under ``rdf:Description``, not those nested in
histories and ingredients. Only the element with the properties is parsed. A document type, and with it any entity,
stands before that element and so never reaches the parser.
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
_MAX_PACKET_BYTES = 2 * 1024 * 1024

Properties = dict[str, str]
"""Text by name, such as ``exif:FNumber``. A list is represented by its first item."""


def read_properties(packet: bytes) -> Properties | None:
    """The properties of the first ``rdf:RDF`` element. None when the packet cannot be read."""
    document = _document(packet)
    if document is None:
        return None
    try:
        root = Xml.fromstring(document)  # noqa: S314 -- no document type, bounded size
    except (Xml.ParseError, ValueError, LookupError):
        return None
    rdf = next(root.iter(_RDF + "RDF"), None)
    properties: Properties = {}
    for description in rdf.findall(_RDF + "Description") if rdf is not None else ():
        for name, value in description.attrib.items():
            _keep(properties, name, value)
        for child in description:
            _keep(properties, child.tag, _value(child))
    return properties


def _document(packet: bytes) -> bytes | None:
    """The element with the properties, as UTF-8."""
    if len(packet) > _MAX_PACKET_BYTES:
        return None
    encoding = _utf_16(packet)
    if encoding is not None:
        packet = packet.decode(encoding, "replace").encode("utf-8", "replace")
    match = re.search(rb"<(?P<name>(?:\w+:)?(?:xmpmeta|xapmeta|RDF))\b.*</(?P=name)\s*>", packet, re.DOTALL)
    return match[0].decode("utf-8", "replace").encode() if match else None


def _utf_16(packet: bytes) -> str | None:
    """The encoding of a packet in UTF-16, by its byte order mark or by the NUL bytes of its first characters."""
    if packet[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return "utf-16"
    if b"\0" not in packet[:64].strip(b"\0"):
        return None
    return "utf-16-le" if packet[1:2] == b"\0" else "utf-16-be"


def _keep(properties: Properties, name: str, value: str | None) -> None:
    namespace, _, local = name.removeprefix("{").partition("}")
    prefix = _NAMESPACES.get(namespace)
    if prefix and value and value.strip():
        properties.setdefault(f"{prefix}:{local}", value.strip())


def _value(element: Xml.Element) -> str | None:
    """The element's text, or that of the first item of a list or of language alternatives."""
    if len(element) == 0:
        return element.text
    item = element.find(f"{_RDF}Seq/{_RDF}li")
    for kind in ("Bag", "Alt"):
        item = item if item is not None else element.find(f"{_RDF}{kind}/{_RDF}li")
    return item.text if item is not None else None
