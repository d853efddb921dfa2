"""The names of all branches, found by reading ``science/tickets.py``: to import it would take torch's two seconds."""

import ast
from functools import cache
from pathlib import Path

from luckmatters import science

SOURCE = Path(science.__file__).with_name("tickets.py")


@cache
def names() -> list[str]:
    """The functions that are marked as branches, by their names with hyphens."""
    functions = (
        node for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    )
    return [
        function.name.replace("_", "-")
        for function in functions
        if any(ast.unparse(decorator) == "branch" for decorator in function.decorator_list)
    ]
