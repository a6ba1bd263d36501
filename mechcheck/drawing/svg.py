"""The frame of every SVG picture on the page."""

from markupsafe import Markup


def svg(css_class: str, width: float, height: float, *parts: Markup, label: str = "", sized: bool = True) -> Markup:
    """A picture; with a label it is announced as an image, without one it is decoration beside text that says the same.

    Unless `sized`, the style sheet knows the size of its class.
    """
    role = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    size = Markup(' width="{}" height="{}"').format(width, height) if sized else ""
    return Markup('<svg class="{}" viewBox="0 0 {} {}"{} {}>{}</svg>').format(css_class, width, height, size, role, Markup("").join(parts))


def path(css_class: str, d: str) -> Markup:
    """A stroke."""
    return Markup('<path class="{}" d="{}"/>').format(css_class, d)


def text(x: float, y: float, content: str, css_class: str = "") -> Markup:
    """A label."""
    named = Markup(' class="{}"').format(css_class) if css_class else ""
    return Markup('<text{} x="{}" y="{}">{}</text>').format(named, x, y, content)


def circle(css_class: str, x: float, y: float, r: float = 3.2, title: str = "") -> Markup:
    """A dot, with a title to hover over."""
    inside = Markup("><title>{}</title></circle>").format(title) if title else Markup("/>")
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"').format(css_class, x, y, r) + inside
