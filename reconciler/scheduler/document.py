"""A KubeSchedulerConfiguration as a document: its fields, their types and ranges, as kube-scheduler 1.36 checks them.

Unknown fields are refused. What has no meaning here but stands in many files (kube-scheduler's own client, leader
election, serving, profiling) is accepted as it is; extenders are refused, for nobody would ask them. config.py says
what the document means.
"""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic.alias_generators import to_camel

from reconciler.placement.pods import DEFAULT_SCHEDULER

Percent = Annotated[int, pydantic.Field(ge=0, le=100)]


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True)


class Plugin(Model):
    name: str
    weight: int = pydantic.Field(0, ge=0)  # 0: the plugin's own


class PluginSet(Model):
    enabled: list[Plugin] = []
    disabled: list[Plugin] = []


class Plugins(Model):
    """The extension points; only some of them have plugins that can be chosen here."""

    multi_point: PluginSet = PluginSet()
    filter: PluginSet = PluginSet()
    post_filter: PluginSet = PluginSet()
    score: PluginSet = PluginSet()
    pre_enqueue: PluginSet = PluginSet()
    queue_sort: PluginSet = PluginSet()
    pre_filter: PluginSet = PluginSet()
    pre_score: PluginSet = PluginSet()
    reserve: PluginSet = PluginSet()
    permit: PluginSet = PluginSet()
    pre_bind: PluginSet = PluginSet()
    bind: PluginSet = PluginSet()
    post_bind: PluginSet = PluginSet()
    placement_generate: PluginSet = PluginSet()


class PluginConfig(Model):
    name: str
    args: dict[str, Any] = {}


class Profile(Model):
    scheduler_name: Annotated[str, pydantic.Field(min_length=1)] = DEFAULT_SCHEDULER
    percentage_of_nodes_to_score: Percent | None = None
    plugins: Plugins = Plugins()
    plugin_config: list[PluginConfig] = []


class Document(Model):
    api_version: Literal["kubescheduler.config.k8s.io/v1"]
    kind: Literal["KubeSchedulerConfiguration"]
    profiles: list[Profile] = [Profile()]
    pod_initial_backoff_seconds: int = pydantic.Field(1, gt=0)
    pod_max_backoff_seconds: int = pydantic.Field(10, gt=0)
    percentage_of_nodes_to_score: Percent | None = None
    parallelism: int = pydantic.Field(16, gt=0)
    extenders: list[Any] = pydantic.Field([], max_length=0)
    leader_election: dict[str, Any] = {}
    client_connection: dict[str, Any] = {}
    enable_profiling: bool = True
    enable_contention_profiling: bool = True
    delay_cache_until_active: bool = False
    health_z_bind_address: str = pydantic.Field("", alias="healthzBindAddress")
    metrics_bind_address: str = ""

    @pydantic.model_validator(mode="after")
    def _backs_off_longer(self) -> "Document":
        if self.pod_max_backoff_seconds < self.pod_initial_backoff_seconds:
            raise ValueError("podMaxBackoffSeconds must be greater than or equal to podInitialBackoffSeconds")
        return self


# The arguments of the plugins that take some.


class Arguments(Model):
    api_version: Literal["kubescheduler.config.k8s.io/v1"] | None = None
    kind: str = ""


class Resource(Model):
    name: str = pydantic.Field(min_length=1)
    weight: int = pydantic.Field(1, ge=1, le=100)


class Point(Model):
    utilization: Percent
    score: int = pydantic.Field(ge=0, le=10)


class CapacityShape(Model):
    shape: list[Point] = pydantic.Field(min_length=1)

    @pydantic.field_validator("shape")
    @classmethod
    def _rises(cls, points: list[Point]) -> list[Point]:
        if any(one.utilization >= other.utilization for one, other in itertools.pairwise(points)):
            raise ValueError("utilization values must be sorted in increasing order")
        return points


class ScoringStrategy(Model):
    type: Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] = "LeastAllocated"
    resources: list[Resource] = []
    requested_to_capacity_ratio: CapacityShape | None = None

    @pydantic.model_validator(mode="after")
    def _has_its_shape(self) -> "ScoringStrategy":
        if (self.type == "RequestedToCapacityRatio") != (self.requested_to_capacity_ratio is not None):
            raise ValueError("requestedToCapacityRatio must be there when type is RequestedToCapacityRatio, and only then")
        return self


class FitArgs(Arguments):
    ignored_resources: list[str] = []
    ignored_resource_groups: list[Annotated[str, pydantic.Field(pattern="^[^/]+$")]] = []
    scoring_strategy: ScoringStrategy | None = None


class BalancedResource(Model):
    name: str = pydantic.Field(min_length=1)
    weight: Literal[1] = 1


class BalancedAllocationArgs(Arguments):
    resources: list[BalancedResource] = []

    @pydantic.field_validator("resources")
    @classmethod
    def _differ(cls, resources: list[BalancedResource]) -> list[BalancedResource]:
        if len({one.name for one in resources}) < len(resources):
            raise ValueError("each resource may be named once")
        return resources


class InterPodAffinityArgs(Arguments):
    hard_pod_affinity_weight: Percent = 1
    ignore_preferred_terms_of_existing_pods: bool = False


class Requirement(Model):
    key: str = pydantic.Field(min_length=1)
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] = []

    @pydantic.model_validator(mode="after")
    def _has_its_values(self) -> "Requirement":
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError(f"values must be specified when operator is {self.operator}")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError(f"values may not be specified when operator is {self.operator}")
        if self.operator in ("Gt", "Lt") and not (len(self.values) == 1 and self.values[0].lstrip("-").isdecimal()):
            raise ValueError(f"values must be one integer when operator is {self.operator}")
        return self


class NodeSelectorTerm(Model):
    match_expressions: list[Requirement] = []
    match_fields: list[Requirement] = []


class NodeSelector(Model):
    node_selector_terms: list[NodeSelectorTerm] = pydantic.Field(min_length=1)


class PreferredTerm(Model):
    weight: int = pydantic.Field(ge=1, le=100)
    preference: NodeSelectorTerm


class AddedAffinity(Model):
    required: NodeSelector | None = pydantic.Field(None, alias="requiredDuringSchedulingIgnoredDuringExecution")
    preferred: list[PreferredTerm] = pydantic.Field([], alias="preferredDuringSchedulingIgnoredDuringExecution")


class NodeAffinityArgs(Arguments):
    added_affinity: AddedAffinity | None = None


class DefaultConstraint(Model):
    max_skew: int = pydantic.Field(gt=0)
    topology_key: str = pydantic.Field(min_length=1)
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    min_domains: int | None = pydantic.Field(None, gt=0)
    node_affinity_policy: Literal["Honor", "Ignore"] = "Honor"
    node_taints_policy: Literal["Honor", "Ignore"] = "Ignore"


class PodTopologySpreadArgs(Arguments):
    defaulting_type: Literal["System", "List"] = "System"
    default_constraints: list[DefaultConstraint] = []

    @pydantic.model_validator(mode="after")
    def _lists_what_it_says(self) -> "PodTopologySpreadArgs":
        if self.defaulting_type == "System" and self.default_constraints:
            raise ValueError("defaultingType must be List when there are defaultConstraints")
        kinds = [(one.topology_key, one.when_unsatisfiable) for one in self.default_constraints]
        if len(set(kinds)) < len(kinds):
            raise ValueError("defaultConstraints must differ in topologyKey or whenUnsatisfiable")
        return self


class VolumeBindingArgs(Arguments):
    bind_timeout_seconds: int = pydantic.Field(600, ge=0)


class PreemptionArgs(Arguments):
    min_candidate_nodes_percentage: Percent = 10
    min_candidate_nodes_absolute: int = pydantic.Field(100, ge=0)

    @pydantic.model_validator(mode="after")
    def _looks_somewhere(self) -> "PreemptionArgs":
        if not (self.min_candidate_nodes_percentage or self.min_candidate_nodes_absolute):
            raise ValueError("minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be zero")
        return self


ARGUMENTS: Mapping[str, type[Arguments]] = {
    "NodeResourcesFit": FitArgs,
    "NodeResourcesBalancedAllocation": BalancedAllocationArgs,
    "InterPodAffinity": InterPodAffinityArgs,
    "NodeAffinity": NodeAffinityArgs,
    "PodTopologySpread": PodTopologySpreadArgs,
    "VolumeBinding": VolumeBindingArgs,
    "DefaultPreemption": PreemptionArgs,
}
