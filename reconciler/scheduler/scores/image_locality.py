"""ImageLocality: nodes that have the pod's images already, by their size and how widely they are spread."""

import numpy as np

from reconciler.scheduler.columns import Floats, Ints, Rows
from reconciler.scheduler.rules import MAX_SCORE, Case, Scope, Score

MEBIBYTE = 1024 * 1024
LEAST_BYTES = 23 * MEBIBYTE  # below it an image is as good as absent
MOST_BYTES_PER_CONTAINER = 1000 * MEBIBYTE


def rate(case: Case, rows: Rows) -> Ints | None:
    table, shape = case.table, case.shape
    if not any(image in table.images for image in shape.images):
        return None
    total = np.zeros(table.size, dtype=np.int64)
    for image in shape.images:
        sizes = table.images.get(image)
        if sizes:
            spread = len(sizes) / table.live_nodes
            scaled: Floats = np.fromiter(sizes.values(), dtype=np.float64, count=len(sizes)) * spread
            total[np.fromiter(sizes, dtype=np.intp, count=len(sizes))] += scaled.astype(np.int64)
    most = MOST_BYTES_PER_CONTAINER * shape.containers
    clipped = np.clip(total, LEAST_BYTES, most)
    rated: Ints = MAX_SCORE * (clipped - LEAST_BYTES) // (most - LEAST_BYTES)
    return rated[rows]


SCORE = Score(name="ImageLocality", scope=Scope.NODE, weight=1, rate=rate)
