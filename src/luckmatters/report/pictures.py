"""Pictures of the report: each experiment's figure as it was rendered, with a small picture for tables."""

import io
import re
from dataclasses import dataclass

from PIL import Image

from luckmatters import artefacts
from luckmatters.config import Project

MOST_BYTES = 300_000  # of a drawing: larger drawings are shown as pixels, so that the report stays below 25 MB
PLACES = re.compile(rb' (?:d|x|y)="[^"]*"')  # attributes of a drawing that hold places; scales need all digits
SMALL = 320  # pixels: width of the small pictures


@dataclass(frozen=True)
class Picture:
    """A figure's files by name below the report's folder.

    large, small: names; width, height: pixels of the large picture as it was rendered; animation: a name, or empty.
    """

    files: dict[str, bytes]
    large: str
    small: str
    width: int
    height: int
    animation: str = ""

    @property
    def zoomable(self) -> bool:
        """Whether the large picture is a drawing, not pixels."""
        return self.large.endswith(".svg")


def of(project: Project, name: str) -> Picture | None:
    """The figure of an experiment at the scale in force; None if it is not drawn. Raises UserError if it is damaged."""
    paths = artefacts.figure_files(project.figures, name)
    if not paths["json"].exists():
        return None
    bundle = artefacts.Bundle(paths["json"].parent, paths["json"].name)
    there = [kind for kind in ("png", "svg") if paths[kind].name in bundle.manifest()["files"]]
    contents = {kind: bundle.read(paths[kind].name) for kind in there}
    drawing = slim(contents["svg"]) if "svg" in contents else b""
    drawn = 0 < len(drawing) <= MOST_BYTES
    large, small = f"figures/{name}.{'svg' if drawn else 'png'}", f"figures/{name}-small.png"
    with Image.open(io.BytesIO(contents["png"])) as picture:
        whole = picture.convert("RGB")
    width, height = whole.size
    reduced = whole.resize((SMALL, round(SMALL * height / width)), Image.Resampling.LANCZOS)
    files = {large: drawing if drawn else png(whole, 256), small: png(reduced, 64)}
    moving = artefacts.animation_files(project.figures, name)
    if not moving["json"].exists():
        return Picture(files, large, small, width, height)
    content = artefacts.Bundle(moving["json"].parent, moving["json"].name).read(moving["gif"].name)
    return Picture(files | {f"figures/{name}.gif": content}, large, small, width, height, f"figures/{name}.gif")


def slim(drawing: bytes) -> bytes:
    """A drawing without metadata, places in hundredths of a point: a fifth smaller."""
    drawing = re.sub(rb"<metadata>.*?</metadata>", b"", drawing, flags=re.DOTALL)
    return PLACES.sub(lambda places: re.sub(rb"(\.\d\d)\d+", rb"\1", places[0]), drawing)


def png(picture: Image.Image, colors: int) -> bytes:
    """A picture with so many colours as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.quantize(colors).save(buffer, "png")
    return buffer.getvalue()
