import pytest

from reconciler import controllers

ALL = controllers.builtin()


def names(*words: str) -> set[str]:
    return {controller.name for controller in controllers.enabled(ALL, words)}


def test_a_star_is_all_that_are_on_by_default() -> None:
    assert names("*") == {controller.name for controller in ALL if controller.enabled_by_default}


def test_a_minus_takes_one_away_wherever_it_stands() -> None:
    assert names("*") - names("-job-controller", "*") == {"job-controller", "job-controller/orphans"}


def test_names_alone_are_all_there_is() -> None:
    assert names("namespace-controller") == {"namespace-controller"}


def test_one_name_covers_all_parts() -> None:
    assert names("job-controller") == {"job-controller", "job-controller/orphans"}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match='"replicaset" is no controller'):
        names("*", "-replicaset")


def test_names_are_kubernetes_names() -> None:
    assert all(controllers.family(controller).endswith("-controller") for controller in ALL)
