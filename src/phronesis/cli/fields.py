"""The sentence under each field of a model, read from its source."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise

from pydantic import BaseModel


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Field name -> the string that stands under it, inherited fields too; fields without one are left out."""
    bases = [base for base in model.__bases__ if issubclass(base, BaseModel) and base is not BaseModel]
    inherited = {name: text for base in reversed(bases) for name, text in field_docs(base).items()}
    return inherited | _own_docs(model)


def _own_docs(model: type[BaseModel]) -> dict[str, str]:
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, text in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)):
            continue
        if isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            found[field.target.id] = " ".join(text.value.value.split())
    return found
