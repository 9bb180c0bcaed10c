"""The part of the configuration that says when a node ends pods for want of something: KubeletConfiguration's names and rules."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from reconciler.node.eviction import thresholds


def _amount(text: str) -> str:
    thresholds.amount(text)
    return text


def _reclaim(text: str) -> str:
    thresholds.amount(text, least=0)
    return text


def _duration(text: str) -> str:
    thresholds.seconds(text)
    return text


Signal = Annotated[str, pydantic.AfterValidator(thresholds.signal)]
Amount = Annotated[str, pydantic.AfterValidator(_amount)]
Reclaim = Annotated[str, pydantic.AfterValidator(_reclaim)]
Duration = Annotated[str, pydantic.AfterValidator(_duration)]


class Eviction(pydantic.BaseModel):
    """Settings of the kubelet that the whole configuration takes over."""

    eviction_hard: Mapping[Signal, Amount] | None = None  # None: Kubernetes' defaults
    merge_default_eviction_settings: bool = False  # whether they hold beside what evictionHard names
    eviction_soft: Mapping[Signal, Amount] = {}
    eviction_soft_grace_period: Mapping[Signal, Duration] = pydantic.Field({}, validate_default=True)
    eviction_minimum_reclaim: Mapping[Signal, Reclaim] = {}
    eviction_pressure_transition_period: Duration = thresholds.TRANSITION
    eviction_max_pod_grace_period: int = pydantic.Field(0, ge=0)  # seconds

    @pydantic.field_validator("eviction_soft_grace_period")
    @classmethod
    def _every_soft_one_has_a_grace(cls, periods: Mapping[str, str], info: pydantic.ValidationInfo) -> Mapping[str, str]:
        known: Mapping[str, Any] = info.data
        missing = [signal for signal in known.get("eviction_soft", {}) if signal not in periods]
        if missing:
            raise ValueError(f"grace period must be specified for the soft eviction threshold {missing[0]}")
        return periods

    @property
    def eviction(self) -> thresholds.Settings:
        return thresholds.settings(
            hard=self.eviction_hard,
            merge_defaults=self.merge_default_eviction_settings,
            soft=self.eviction_soft,
            soft_grace=self.eviction_soft_grace_period,
            minimum_reclaim=self.eviction_minimum_reclaim,
            transition=self.eviction_pressure_transition_period,
            max_pod_grace_seconds=self.eviction_max_pod_grace_period,
        )
