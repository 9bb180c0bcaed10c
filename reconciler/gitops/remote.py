"""A Git repository elsewhere, kept as a checkout here through the git program.

`fetch` brings the checkout to what the Sync names, or raises Unreachable and changes nothing. Fetches are shallow,
files that did not change keep their stamps, and git itself holds index.lock while it writes, which the source waits
for. Nothing of the machine's git configuration counts, no hook runs, and links of the repository become plain files,
so that what it holds cannot name files of this machine.

Credentials come from a Secret: `identity` and `known_hosts` for SSH, `username` and `password` or `token` for HTTP.
They reach git through its environment and files that only this user can read, never a command line or a log.
"""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.gitops import semver, sync

FETCH_SECONDS = 120.0
DESCRIBE_SECONDS = 10.0
MOST_OUTPUT_BYTES = 1 << 20
_URL = re.compile(r"(https?|ssh|git|file)://[^\s-]\S*|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:\S+|/\S+")
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.symlinks": "false",
    "core.fsmonitor": "false",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "advice.detachedHead": "false",
}


class Unreachable(Exception):
    """Why the checkout is not as new as it should be, in words for the user and without secrets."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Secret's decoded data."""

    data: Mapping[str, bytes]

    def text(self, *names: str) -> str:
        found = next((self.data[name] for name in names if name in self.data), b"")
        return found.decode("utf-8", "replace").strip()


NO_CREDENTIALS = Credentials({})


class Remote:
    """The checkout of one Sync in `directory`, which is its own."""

    def __init__(self, directory: Path) -> None:
        self.checkout = directory / "checkout"
        self._private = directory / "private"

    async def fetch(self, wanted: sync.Git, access: Credentials = NO_CREDENTIALS, signers: Credentials | None = None) -> str:
        """The commit that the checkout is at now. `signers` must have signed it, where given."""
        if not _URL.fullmatch(wanted.url):
            raise Unreachable(f"{wanted.url!r} is no address of a repository: write https://, ssh:// or USER@HOST:PATH")
        try:
            environment = self._prepare(wanted.url, access)
            if not (self.checkout / ".git").is_dir():
                self.checkout.mkdir(parents=True, exist_ok=True)
                await self._git(environment, "init", "-q")
            reference = await self._reference(environment, wanted)
            await self._git(environment, "fetch", "-q", "--depth=1", "--force", "--no-tags", "--", wanted.url, reference)
            commit = await self._git(environment, "rev-parse", "--verify", "FETCH_HEAD^{commit}")
            if signers is not None:
                await self._verify(environment, commit, signers)
            if commit != await self._head(environment) or await self._git(environment, "status", "--porcelain"):
                await self._git(environment, "reset", "-q", "--hard", commit)
                await self._git(environment, "clean", "-q", "-ffdx")
        except OSError as error:
            raise Unreachable(f"the checkout cannot be written: {error}") from error
        finally:
            shutil.rmtree(self._private, ignore_errors=True)
        return commit

    def remove(self) -> None:
        """Forget the checkout."""
        shutil.rmtree(self.checkout.parent, ignore_errors=True)

    async def _reference(self, environment: Mapping[str, str], wanted: sync.Git) -> str:
        if wanted.commit:
            return wanted.commit
        if wanted.semver:
            listed = await self._git(environment, "ls-remote", "-q", "--tags", "--refs", "--", wanted.url)
            tags = [line.partition("refs/tags/")[2] for line in listed.splitlines()]
            try:
                found = semver.highest(tags, wanted.semver)
            except ValueError as error:
                raise Unreachable(f"git.semver: {error}") from None
            if found is None:
                raise Unreachable(f"none of the {len(tags)} tags of {wanted.url} is in {wanted.semver}")
            return f"refs/tags/{found}"
        if wanted.tag:
            return f"refs/tags/{wanted.tag}"
        return f"refs/heads/{wanted.branch}" if wanted.branch else "HEAD"

    async def _head(self, environment: Mapping[str, str]) -> str:
        try:
            return await self._git(environment, "rev-parse", "--verify", "-q", "HEAD")
        except Unreachable:
            return ""  # nothing was checked out yet

    async def _verify(self, environment: Mapping[str, str], commit: str, signers: Credentials) -> None:
        """SSH keys from `allowed_signers`, OpenPGP keys from every entry that ends in .asc."""
        allowed = self._keep("allowed_signers", signers.data.get("allowed_signers", b""))
        home = self._private / "gnupg"
        home.mkdir(mode=0o700)
        trusting = {**environment, "GNUPGHOME": str(home)}
        for name, key in signers.data.items():
            if name.endswith(".asc"):
                await self._run(trusting, "gpg", "--batch", "--quiet", "--import", str(self._keep("key.asc", key)))
        try:
            await self._git(trusting, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", commit)
        except Unreachable as error:
            raise Unreachable(f"commit {commit[:12]} is not signed by anyone who may: {error}") from None

    def _prepare(self, url: str, access: Credentials) -> dict[str, str]:
        """The environment in which git runs."""
        shutil.rmtree(self._private, ignore_errors=True)
        self._private.mkdir(parents=True, mode=0o700)
        settings = dict(_SETTINGS)
        if secret := access.text("password", "token", "bearerToken"):
            pair = f"{access.text('username') or 'git'}:{secret}".encode()
            settings[f"http.{url}.extraHeader"] = "Authorization: Basic " + base64.b64encode(pair).decode()
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._private),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": self._ssh(access),
            "LC_ALL": "C",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return environment

    def _ssh(self, access: Credentials) -> str:
        words = ["ssh", "-F", os.devnull, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20"]
        known = self._keep("known_hosts", access.data.get("known_hosts", b""))
        words += ["-o", f"UserKnownHostsFile={known}"]
        key = access.data.get("identity") or access.data.get("ssh-privatekey")
        if key:
            words += ["-o", "IdentitiesOnly=yes", "-i", str(self._keep("identity", key.rstrip() + b"\n"))]
        return " ".join(words)

    def _keep(self, name: str, content: bytes) -> Path:
        """A file that only this user can read, until the fetch is over."""
        path = self._private / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as opened:
            opened.write(content)
        return path

    async def _git(self, environment: Mapping[str, str], *arguments: str) -> str:
        return await self._run(environment, "git", "-C", str(self.checkout), *arguments)

    async def _run(self, environment: Mapping[str, str], program: str, *arguments: str) -> str:
        """What a program printed. Raises Unreachable with what it complained about."""
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=MOST_OUTPUT_BYTES,
            )
        except FileNotFoundError:
            raise Unreachable(f"the program {program} is not installed") from None
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                output, complaint = await process.communicate()
        except TimeoutError:
            raise Unreachable(f"git did not finish within {FETCH_SECONDS:.0f} seconds") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
            raise Unreachable("; ".join(lines[:3]) or f"{program} ended with {process.returncode}")
        return output.decode("utf-8", "replace").strip()


async def described(directory: Path, commit: str) -> tuple[str, str]:
    """(author, subject) of a commit of the checkout that holds `directory`; empty where the git program cannot say."""
    words = ["git", "-c", "safe.directory=*", "-C", str(directory), "log", "-1", "--format=%an <%ae>%n%s", commit, "--"]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(DESCRIBE_SECONDS):
            output, _ = await process.communicate()
    except (OSError, TimeoutError):
        return "", ""
    author, _, subject = output.decode("utf-8", "replace").strip().partition("\n")
    return author, subject
