"""/healthz, /livez and /readyz: named checks, each alone under its path, all together with ?verbose."""

from collections.abc import Callable, Mapping, Sequence

from reconciler.api.answers import Answer

Check = Callable[[], bool]


class Health:
    """`checks` by endpoint. A check is cheap, synchronous and says whether all is well."""

    def __init__(self, checks: Mapping[str, Mapping[str, Check]]) -> None:
        self._checks = checks

    def answer(self, path: str, excluded: Sequence[str], verbose: bool) -> Answer | None:
        """The answer for /ENDPOINT or /ENDPOINT/CHECK; None for a path that is neither."""
        endpoint, _, name = path.strip("/").partition("/")
        checks = self._checks.get(endpoint)
        if checks is None or (name and name not in checks):
            return None
        wanted = {name: checks[name]} if name else {key: check for key, check in checks.items() if key not in excluded}
        lines, failed = [], False
        for key, check in wanted.items():
            good = check()
            failed = failed or not good
            lines.append(f"[+]{key} ok" if good else f"[-]{key} failed: reason withheld")
        if failed:
            return Answer.text(500, "\n".join([*lines, f"{endpoint} check failed", ""]))
        if verbose:
            ignored = [f"[+]{key} excluded: ok" for key in excluded if key in checks]
            return Answer.text(200, "\n".join([*lines, *ignored, f"{endpoint} check passed", ""]))
        return Answer.text(200, "ok")
