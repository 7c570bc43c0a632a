"""XMP of a restored picture: what was there, upright, and where the pixels come from."""

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

NAMESPACE = "urn:banet:restored:1"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_OURS = re.compile(rf'<rdf:Description [^>]*xmlns:banet="{NAMESPACE}"[^>]*/>')
_ORIENTATION = re.compile(r'(tiff:Orientation(?:="|=\'|>)\s*)[1-8]')


def with_provenance(xmp: bytes, facts: Mapping[str, str]) -> bytes:
    """Return an XMP packet with facts of ours beside what it holds; those of an earlier restoration are replaced.

    Args:
        xmp: the packet of a picture, which is upright now; empty or unreadable: a new one is made.
        facts: by name, which is a word in CamelCase.
    """
    text = xmp.decode("utf-8", "replace")
    if text.count("</rdf:RDF>") != 1:
        text = _EMPTY
    text = _ORIENTATION.sub(r"\g<1>1", _OURS.sub("", text))
    said = " ".join(f"banet:{name}={quoteattr(value)}" for name, value in facts.items())
    ours = f'<rdf:Description rdf:about="" xmlns:banet="{NAMESPACE}" {said}/>'
    return text.replace("</rdf:RDF>", f"{ours}</rdf:RDF>").encode()
