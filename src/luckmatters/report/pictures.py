"""Pictures of the report: each experiment's figure as it was rendered, with a small picture for tables."""

import io
from dataclasses import dataclass

from PIL import Image

from luckmatters import artefacts
from luckmatters.config import Project

MOST_BYTES = 1_500_000  # of a drawing that can be zoomed; larger ones are shown as pixels
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
    drawing = "svg" in contents and len(contents["svg"]) <= MOST_BYTES
    large, small = f"figures/{name}.{'svg' if drawing else 'png'}", f"figures/{name}-small.png"
    with Image.open(io.BytesIO(contents["png"])) as picture:
        width, height = picture.size
        buffer = io.BytesIO()
        reduced = picture.convert("RGB").resize((SMALL, round(SMALL * height / width)), Image.Resampling.LANCZOS)
        reduced.quantize(64).save(buffer, "png")
    files = {large: contents["svg" if drawing else "png"], small: buffer.getvalue()}
    moving = artefacts.animation_files(project.figures, name)
    if not moving["json"].exists():
        return Picture(files, large, small, width, height)
    content = artefacts.Bundle(moving["json"].parent, moving["json"].name).read(moving["gif"].name)
    return Picture(files | {f"figures/{name}.gif": content}, large, small, width, height, f"figures/{name}.gif")
