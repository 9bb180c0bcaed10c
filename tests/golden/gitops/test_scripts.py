"""Text scripts: files and hand-made changes in, the actions of a sync out.

A line that begins with "> " is a command, what follows belongs to it:
  note TEXT
  write PATH        the file's content
  remove PATH       move OLD NEW        unreadable PATH
  as MANAGER        an object that somebody applies by hand
  edit MANAGER KIND NAMESPACE NAME      a merge patch by somebody else
  delete KIND NAMESPACE NAME
  sync [refusing NAME] [hidden DIRECTORY]
                    what is planned, in waves, and what is said; NAME's apply is refused by the server
The server is the model's own apply on plain objects. GOLDEN_UPDATE=1 writes what came out into the scripts.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

import pytest

from reconciler import kinds
from reconciler.gitops import identity as identities
from reconciler.gitops import load, marks, wanted
from reconciler.gitops import plan as gitops
from reconciler.kit import definitions, yaml
from reconciler.loop.snapshot import Snapshot
from reconciler.model import apply, meta, patch, plan, schema
from reconciler.model.apply import form
from tests.golden import commands

SCRIPTS = sorted(pathlib.Path(__file__).parent.glob("*.txt"))
NOW = "2026-01-02T03:04:05Z"
SYNC = "default"


class World:
    """A folder and a cluster, both in memory."""

    def __init__(self) -> None:
        self.roster = kinds.builtin()
        self.schemas = schema.Schemas(definitions.load(), definitions.shapes())
        self.view = Snapshot.of(self.roster, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "uid": "1"}}])
        self.ownership = marks.Ownership(self.schemas)
        self.accepted: dict[identities.Identity, tuple[str, object]] = {}
        self.files: dict[str, load.File] = {}
        self.revision = 1

    def run(self, command: str, body: str) -> str:
        verb, *arguments = command.split()
        output = getattr(self, "do_" + verb)(body, *arguments)
        return body if output is None else "".join(f"{line}\n" for line in output)

    def do_note(self, body: str, *text: str) -> None:
        """Words for the reader."""

    def do_write(self, body: str, path: str) -> None:
        self.files[path] = load.parse(path, body.encode())

    def do_remove(self, body: str, path: str) -> None:
        del self.files[path]

    def do_move(self, body: str, old: str, new: str) -> None:
        file = self.files.pop(old)
        documents = tuple(dataclasses.replace(document, path=new) for document in file.documents)
        self.files[new] = dataclasses.replace(file, path=new, documents=documents)

    def do_unreadable(self, body: str, path: str) -> None:
        self.files[path] = load.refused(path, "cannot be read: Permission denied")

    def do_as(self, body: str, manager: str) -> None:
        for _, obj in yaml.build(yaml.Chunk(body, 1)):
            kind = self.roster.of_object(obj["apiVersion"], obj["kind"])
            assert kind
            self.store(kind.id, obj, manager)

    def do_edit(self, body: str, manager: str, kind: str, namespace: str, name: str) -> None:
        found = self.kind(kind)
        live = self.view.get(found, "" if namespace == "-" else namespace, name)
        assert live
        [(_, change)] = yaml.build(yaml.Chunk(body, 1))
        shape = form.of(self.roster[found], self.roster[found].hub_version.name, self.schemas)
        self.put(found, apply.track(shape, live, patch.merge_patch(live, change), manager, NOW))

    def do_delete(self, body: str, kind: str, namespace: str, name: str) -> None:
        self.view.remove(self.kind(kind), ("" if namespace == "-" else namespace, name))

    def do_sync(self, body: str, *options: str) -> Iterable[str]:
        settings = dict(zip(options[::2], options[1::2], strict=True))
        resolved = wanted.Resolver(self.roster).resolve(self.files.values())
        context = gitops.Context(
            view=self.view, roster=self.roster, wanted=resolved, sync=SYNC, ownership=self.ownership, accepted=self.accepted
        )
        decision = gitops.applies(context, resolved.documents)
        refused = yield from self.perform(decision.todo, settings.get("refusing", ""))
        yield from (f"wait for {waiting.on}" for waiting in decision.todo.waiting_on)
        problems = [*resolved.problems, *(one for found in decision.problems.values() for one in found)]
        yield from (f"problem {problem}" for problem in problems)
        unsure = {problem.path for problem in problems} | refused
        decision = gitops.prunes(context, frozenset(unsure), tuple(settings.get("hidden", "").split()))
        yield from self.perform(decision.todo, "")
        yield from (f"keep {identities.title(self.roster, kept.identity)}: {kept.why}" for kept in decision.kept)

    def perform(self, decided: plan.Plan, refusing: str) -> Iterator[str]:
        refused: set[str] = set()
        for number, group in enumerate(decided.groups):
            if number:
                yield "then"
            for action in group:
                identity = identities.Identity(action.kind, action.namespace, action.name)
                verb = "apply" if isinstance(action, plan.Patch) else "delete"
                yield f"{verb} {identities.title(self.roster, identity)}: {action.why}"
                if action.name == refusing:
                    refused.add(action.source.partition(":")[0])
                elif isinstance(action, plan.Patch):
                    self.store(action.kind, action.patch, action.manager)
                else:
                    self.view.remove(action.kind, (action.namespace, action.name))
        return refused

    def store(self, kind_id: str, body: meta.Obj, manager: str) -> None:
        kind = self.roster[kind_id]
        shape = form.of(kind, kind.hub_version.name, self.schemas)
        namespace = (meta.namespace(body) or "default") if kind.namespaced else ""
        live = self.view.get(kind_id, namespace, meta.name(body))
        made = apply.apply(shape, live, body, manager, NOW, force=True)
        self.put(kind_id, {**made, "metadata": {**made["metadata"], **({"namespace": namespace} if namespace else {})}})

    def put(self, kind_id: str, obj: meta.Obj) -> None:
        self.revision += 1
        uid = meta.uid(obj) or str(self.revision)
        self.view.put(kind_id, {**obj, "metadata": {**obj["metadata"], "uid": uid, "resourceVersion": str(self.revision)}})

    def kind(self, name: str) -> str:
        return next(kind.id for kind in self.roster if kind.kind == name)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: pathlib.Path) -> None:
    world = World()
    expected = path.read_text()
    came = ""
    for command, body in commands.steps(expected):
        came += f"> {command}\n{world.run(command, body)}" if command else body
    if os.environ.get("GOLDEN_UPDATE"):
        path.write_text(came)
    assert came == expected
