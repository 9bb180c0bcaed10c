"""The expressions by which requests for devices select: whether they compile."""

from collections.abc import Iterator

from reconciler.model import errors
from reconciler.model.cel import program, types
from reconciler.model.cel.check import Environment
from reconciler.model.cel.errors import Refused
from reconciler.model.cel.kubernetes import FUNCTIONS
from reconciler.model.errors import FieldError

DEVICE = types.object_of(
    "kubernetes.DRADevice",
    {
        "driver": types.STRING,
        "attributes": types.map_of(types.STRING, types.map_of(types.STRING, types.DYN)),
        "capacity": types.map_of(types.STRING, types.map_of(types.STRING, types.QUANTITY)),
        "allowMultipleAllocations": types.BOOL,
    },
)
_ENVIRONMENT = Environment({"device": DEVICE}, FUNCTIONS)


def refused(path: str, text: str) -> Iterator[FieldError]:
    try:
        made = program.compile(text, _ENVIRONMENT)
    except Refused as problem:
        yield errors.invalid(path, text, f"compilation failed: {problem}")
        return
    if str(made.result) != "bool" and not made.result.is_dyn:
        yield errors.invalid(path, text, f"must evaluate to bool or the unknown type, not {made.shown_result}")
