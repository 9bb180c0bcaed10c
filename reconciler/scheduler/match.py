"""Selectors and tolerations over all nodes at once: every distinct value is judged once, not every node."""

from collections.abc import Iterable

import numpy as np

from reconciler.model.selectors import Requirement
from reconciler.placement import affinity, taints
from reconciler.scheduler.columns import MISSING, Mask
from reconciler.scheduler.rules import Case
from reconciler.scheduler.table import Table


def selected(table: Table, selector: affinity.NodeSelector) -> Mask | None:
    """Rows that `selector` matches; None if it matches all."""
    if selector.is_empty:
        return None
    found = np.ones(table.size, dtype=np.bool_)
    for key, value in selector.exact:
        column = table.labels(key)
        found &= (column.codes == column.code(value))[: table.size]
    if selector.terms is not None:
        any_term = np.zeros(table.size, dtype=np.bool_)
        for term in selector.terms:
            any_term |= matching(table, term)
        found &= any_term
    return found


def matching(table: Table, term: affinity.Term) -> Mask:
    """Rows that one term matches."""
    found = np.full(table.size, bool(term.labels or term.names), dtype=np.bool_)
    for requirement in term.labels:
        found &= labelled(table, requirement)
    for requirement in term.names:
        found &= named(table, requirement)
    return found


def labelled(table: Table, requirement: Requirement) -> Mask:
    column = table.labels(requirement.key)
    codes = column.codes[: table.size]
    operator = requirement.operator
    if operator == "Exists":
        return np.not_equal(codes, MISSING)
    if operator == "DoesNotExist":
        return np.equal(codes, MISSING)
    if operator == "In":
        return column.among(requirement.values)[: table.size]
    if operator == "NotIn":
        return ~column.among(requirement.values)[: table.size]
    key = requirement.key
    return column.where([value is not None and requirement.matches({key: value}) for value in column.values])[: table.size]


def named(table: Table, requirement: Requirement) -> Mask:
    """A requirement on metadata.name, which knows In and NotIn."""
    found = np.zeros(table.size, dtype=np.bool_)
    for name in requirement.values:
        row = table.row_of.get(name)
        if row is not None:
            found[row] = True
    return ~found if requirement.operator == "NotIn" else found


def required_nodes(case: Case) -> Mask | None:
    """Rows that the pod's own nodeSelector and required affinity match."""
    return case.once("required nodes", lambda: selected(case.table, case.shape.nodes))


def tolerable(case: Case) -> Mask | None:
    """Rows without a NoSchedule or NoExecute taint that the pod does not tolerate; None if there are no taints."""
    return case.once("tolerable", lambda: _tolerable(case.table, case.shape.tolerations))


def _tolerable(table: Table, tolerations: Iterable[taints.Toleration]) -> Mask | None:
    if len(table.taint_sets) == 1:
        return None
    tolerations = tuple(tolerations)
    passes = np.array([taints.untolerated(each, tolerations) is None for each in table.taint_sets], dtype=np.bool_)
    return None if passes.all() else passes[table.taint_codes[: table.size]]
