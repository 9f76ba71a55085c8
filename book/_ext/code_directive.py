"""Code on pages, as it is in the package."""

from __future__ import annotations

import ast
import textwrap
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.directives.code import CodeBlock
from sphinx.util import logging

logger = logging.getLogger(__name__)


class CodeDirective(CodeBlock):
    """``{pycode} mscf.models.context.SpatialContext.forward`` shows that code.

    Takes the options of ``code-block``. The file is read, not imported: a page needs
    no torch, and it is built anew when the file changes.
    """

    required_arguments = 1
    optional_arguments = 0
    has_content = False

    def run(self) -> list[nodes.Node]:
        """A code block of the object's lines, from the margin."""
        name = self.arguments[0]
        try:
            file, code = find_code(name)
        except LookupError as error:
            logger.warning("{pycode} %s: %s", name, error, location=self.get_location())
            return []
        self.env.note_dependency(str(file))
        self.content = StringList(code.splitlines(), source=str(file))
        self.arguments = ["python"]
        return super().run()


def find_code(name: str) -> tuple[Path, str]:
    """The file of a dotted name and the object's code in it, from the margin.

    Raises:
        LookupError: no such module, or nothing of that name is defined in it.
    """
    parts = name.split(".")
    spec, depth = find_spec(parts[0]), 1
    if spec is None:
        raise LookupError(f"there is no module {parts[0]}")
    while spec.submodule_search_locations and depth < len(parts):
        inner = find_spec(".".join(parts[: depth + 1]))
        if inner is None:
            break
        spec, depth = inner, depth + 1
    file = Path(spec.origin)
    source = file.read_text(encoding="utf-8")
    scope: ast.AST = ast.parse(source)
    for part in parts[depth:]:
        inside = [n for n in ast.iter_child_nodes(scope) if part == defined_name(n)]
        if not inside:
            raise LookupError(f"{file.name} defines no {part}")
        scope = inside[-1]
    if isinstance(scope, ast.Module):
        return file, source
    decorators = getattr(scope, "decorator_list", [])
    first = min([scope.lineno, *(d.lineno for d in decorators)])
    lines = source.splitlines()[first - 1 : scope.end_lineno]
    return file, textwrap.dedent("\n".join(lines))


def defined_name(node: ast.AST) -> str | None:
    """What a class, a function or a plain assignment defines."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return getattr(node, "name", None)
