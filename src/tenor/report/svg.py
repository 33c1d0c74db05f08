"""From a matplotlib figure to an inline SVG that takes its colours from the page's style sheet.

Matplotlib draws with stand-in colours, one for each role (model, baseline, grid, ...). Here every stand-in
becomes a CSS class, every style attribute a presentation attribute (a strict content security policy
forbids style attributes), and every id is made unique in the page. Knows nothing of what is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"

#: The roles a colour can have; ``templates/style.css`` gives each a value in light and in dark.
ROLES = (
    "ink", "muted", "grid", "paper", "model", "validation", "positive", "negative",
    "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8",
)  # fmt: skip

#: Role -> the stand-in colour that matplotlib draws with.
COLOURS = {role: f"#0000{number:02x}" for number, role in enumerate(ROLES, start=1)}

_CLASSES = {colour: role for role, colour in COLOURS.items()}
_DROPPED = {"font-family", "font"}
_RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tenor",
    "text.parse_math": False,
    "path.simplify": False,
    "font.size": 11.0,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "figure.facecolor": "none",
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "xtick.major.pad": 6.0,
    "ytick.major.pad": 6.0,
    "lines.solid_capstyle": "round",
    "lines.dash_capstyle": "butt",
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """Matplotlib's settings of the report for the time of the body; both drawing and saving belong inside."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)  # type: ignore[arg-type]
        yield


def inline_svg(
    figure: Figure,
    prefix: str,
    title: str,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    texts: Mapping[str, str] | None = None,
) -> str:
    """Turn a figure into an ``<svg>`` element for a page.

    Args:
        figure: drawn inside `drawing_style`; one inch is 72 CSS pixels.
        prefix: put before every id; unique in the page, a valid XML name.
        title: what a screen reader says of the picture.
        attributes: matplotlib gid -> attributes to set on that element, for the page's script.
        texts: stand-in -> text from data. Matplotlib draws the stand-in, for it warns of letters that its
            font lacks; the browser has its own.

    Returns:
        The element as text, the same for the same figure, without dates, comments, style attributes or links.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=72, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    _drop_weight(root)
    known = {} if attributes is None else attributes
    names = {} if texts is None else texts
    for element in root.iter():
        _restyle(element)
        if element.text is not None and element.text in names:
            element.text = _printable(names[element.text])
        for name, value in known.get(element.get("id", ""), {}).items():
            element.set(name, value)
    _rename_ids(root, prefix)
    for name in ("width", "height", "version"):
        del root.attrib[name]
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-label", title)
    text = ElementTree.tostring(root, encoding="unicode", default_namespace=None)
    # an inline element is HTML: the default namespace goes without a prefix, and space between tags is weight
    text = re.sub(r"(</?)ns\d+:", r"\1", text)
    text = re.sub(r' xmlns:ns\d+="[^"]*"', "", text, count=2)
    return re.sub(r">\s+<", "><", text).strip()


def _printable(text: str) -> str:
    """The text without letters that XML forbids."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _drop_weight(root: ElementTree.Element) -> None:
    """Take out metadata, style elements, and the transparent background boxes."""
    for parent in list(root.iter()):
        for child in list(parent):
            empty = child.tag == f"{_SVG}g" and len(child) == 0
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style") or empty or _is_invisible(child):
                parent.remove(child)


def _is_invisible(element: ElementTree.Element) -> bool:
    style = element.get("style", "")
    return element.tag == f"{_SVG}path" and "fill: none" in style and "stroke:" not in style


def _restyle(element: ElementTree.Element) -> None:
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if not value or name in _DROPPED:
            continue
        if value in _CLASSES and name in ("fill", "stroke"):
            classes.append(f"{name[0]}-{_CLASSES[value]}")
        else:
            element.set(name, value.removesuffix("px"))
    if classes:
        element.set("class", " ".join(classes))
    if element.tag == f"{_SVG}path" and "d" in element.attrib:
        element.set("d", _short_path(element.attrib["d"]))
    for name in ("x", "y", "width", "height", "transform", "points"):
        if name in element.attrib:
            element.set(name, re.sub(r"-?\d+\.\d+", _short_number, element.attrib[name]))
    if re.fullmatch(r"rotate\(-?0 .*\)", element.get("transform", "")):
        del element.attrib["transform"]


def _short_path(path: str) -> str:
    numbers = re.sub(r"-?\d+\.\d+", _short_number, " ".join(path.split()))
    return re.sub(r" ?([MLCQZz]) ?", r"\1", numbers)


def _short_number(match: re.Match[str]) -> str:
    text = f"{float(match.group()):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _rename_ids(root: ElementTree.Element, prefix: str) -> None:
    """Put the prefix before every id that something refers to, and drop the others."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r'="#([^"]+)"|url\(#([^)]+)\)', text))
    names = {name for pair in used for name in pair if name}
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        if identifier in names:
            element.set("id", f"{prefix}-{identifier}")
        for name, value in list(element.attrib.items()):
            if name == _XLINK_HREF:
                del element.attrib[name]
                element.set("href", f"#{prefix}-{value.removeprefix('#')}")
            elif value.startswith("url(#"):
                element.set(name, f"url(#{prefix}-{value[5:-1]})")
