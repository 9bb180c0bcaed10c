"""Which pods this node takes: the kubelet's last check before it starts one.

The scheduler may have been wrong, late, or not asked at all. Each pod is judged once, in the order of creation,
beside those that were taken before. What has begun (its status or the runtime says so) is taken whatever the node
looks like now, so that a restarted daemon never refuses what runs.
"""

from collections.abc import Callable, Sequence

from reconciler.model import meta
from reconciler.placement import admission
from reconciler.placement import pods as pod_facts


class Admission:
    """`has_begun`: whether something of a pod (by uid) is on this machine."""

    def __init__(self, has_begun: Callable[[str], bool]) -> None:
        self._has_begun = has_begun
        self._verdicts: dict[str, admission.Refusal | None] = {}

    def judge(self, pod: meta.Obj, node: meta.Obj, here: Sequence[meta.Obj]) -> admission.Refusal | None:
        """Why the node fails `pod`, which is one of `here`: all pods that are bound to it."""
        if meta.uid(pod) in self._verdicts:
            return self._verdicts[meta.uid(pod)]
        present = {meta.uid(one) for one in here}
        self._verdicts = {uid: verdict for uid, verdict in self._verdicts.items() if uid in present}
        new = sorted((one for one in here if meta.uid(one) not in self._verdicts and not pod_facts.is_over(one)), key=_age)
        self._verdicts |= {meta.uid(one): None for one in new if meta.status(one).get("startTime") or self._has_begun(meta.uid(one))}
        for one in new:
            if meta.uid(one) not in self._verdicts:
                self._verdicts[meta.uid(one)] = admission.refusal(one, node, map(admission.share, filter(self._counts, here)))
            if meta.uid(one) == meta.uid(pod):
                break
        return self._verdicts.get(meta.uid(pod))

    def _counts(self, other: meta.Obj) -> bool:
        """Whether a pod was taken and still uses what it asked for."""
        return self._verdicts.get(meta.uid(other), _REFUSED) is None and not pod_facts.is_over(other)


_REFUSED = admission.Refusal("", "")


def _age(pod: meta.Obj) -> tuple[str, str]:
    return str(meta.meta(pod).get("creationTimestamp") or ""), meta.name(pod)
