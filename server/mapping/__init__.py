"""Expressions and maps: the language of definitions. Pure: no clock, no I/O, no framework, the same answer every time.

`compile_expression`, `compile_map` and `compile_template` check and compile; `run` evaluates under a budget of steps and size.
`check_map` and `check_paths` say all that can be seen to be wrong before anything runs.
"""

from __future__ import annotations

from .budget import Budget
from .errors import EvaluationError, ExpressionError
from .expression import Expression, compile_expression
from .functions import FUNCTIONS, Function, Param
from .maps import CompiledMap, MapProblem, Place, check_map, compile_map
from .options import OPTIONS, VALUE_TYPES
from .places import PLACES
from .schemas import PathProblem, check_map_paths, check_paths, items_schema
from .templates import Template, compile_template

__all__ = [
    "FUNCTIONS",
    "OPTIONS",
    "PLACES",
    "VALUE_TYPES",
    "Budget",
    "CompiledMap",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Function",
    "MapProblem",
    "Param",
    "PathProblem",
    "Place",
    "Template",
    "check_map",
    "check_map_paths",
    "check_paths",
    "compile_expression",
    "compile_map",
    "compile_template",
    "items_schema",
]
