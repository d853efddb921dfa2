"""The names of all branches of a lottery experiment.

They are read from the text of ``science/tickets.py``: to import it would import torch, which takes two seconds.
"""

import ast
from functools import cache
from pathlib import Path

from luckmatters import science

SOURCE = Path(science.__file__).with_name("tickets.py")


@cache
def names() -> list[str]:
    """The names, with hyphens, of the functions that are marked as branches."""
    functions = (
        node for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    )
    return [
        function.name.replace("_", "-")
        for function in functions
        if any(ast.unparse(decorator) == "branch" for decorator in function.decorator_list)
    ]
