"""The certificate authority: made once, renewed in time, never replaced behind anybody's back."""

import pathlib
import stat

import pytest
from cryptography import x509

from reconciler.api.auth import certificates, kubeconfigs
from reconciler.client import kubeconfig
from reconciler.kit import clock

DAY_SECONDS = 86_400.0
SERVER = certificates.Identity("kube-apiserver", hosts=("127.0.0.1", "localhost"))


def authority(folder: pathlib.Path, time: clock.VirtualClock) -> certificates.Authority:
    made = certificates.Authority(folder / "pki", time)
    made.load_or_make()
    return made


def test_keys_are_readable_by_their_owner_alone(tmp_path: pathlib.Path) -> None:
    made = authority(tmp_path, clock.VirtualClock())
    pair = made.pair_for("apiserver", SERVER)
    for path in (made.pair.key, made.pair.certificate, pair.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700


def test_the_authority_outlives_a_restart(tmp_path: pathlib.Path) -> None:
    time = clock.VirtualClock()
    assert authority(tmp_path, time).pem == authority(tmp_path, time).pem


def test_a_leaf_is_kept_until_its_last_third(tmp_path: pathlib.Path) -> None:
    time = clock.VirtualClock()
    made = authority(tmp_path, time)
    first = made.pair_for("apiserver", SERVER).certificate.read_bytes()
    time.advance(200 * DAY_SECONDS)
    assert made.pair_for("apiserver", SERVER).certificate.read_bytes() == first
    time.advance(60 * DAY_SECONDS)
    renewed = made.pair_for("apiserver", SERVER).certificate.read_bytes()
    assert renewed != first
    assert not made.renewal_due(made.pair_for("apiserver", SERVER))


def test_a_leaf_for_other_names_is_signed_anew(tmp_path: pathlib.Path) -> None:
    made = authority(tmp_path, clock.VirtualClock())
    first = made.pair_for("apiserver", SERVER).certificate.read_bytes()
    other = certificates.Identity("kube-apiserver", hosts=("10.0.0.1",))
    assert made.pair_for("apiserver", other).certificate.read_bytes() != first


def test_an_expired_authority_says_what_to_do(tmp_path: pathlib.Path) -> None:
    time = clock.VirtualClock()
    authority(tmp_path, time)
    time.advance(3651 * DAY_SECONDS)
    with pytest.raises(certificates.Unusable, match=r"ca\.crt expired on 2033-.*: move .*pki away"):
        authority(tmp_path, time)


@pytest.mark.parametrize("file", ["ca.crt", "ca.key"])
def test_a_broken_authority_is_no_reason_for_a_new_one(tmp_path: pathlib.Path, file: str) -> None:
    time = clock.VirtualClock()
    made = authority(tmp_path, time)
    (made.folder / file).write_text("broken")
    with pytest.raises(certificates.Unusable, match=file):
        authority(tmp_path, time)


def test_a_board_that_booted_in_1970_makes_no_certificate_of_1970(tmp_path: pathlib.Path) -> None:
    made = authority(tmp_path, clock.VirtualClock(start_seconds=0.0))
    assert x509.load_pem_x509_certificate(made.pem).not_valid_before_utc.year >= 2019


def test_the_admin_kubeconfig_can_be_read_back(tmp_path: pathlib.Path) -> None:
    made = authority(tmp_path, clock.VirtualClock())
    path = tmp_path / "admin.kubeconfig"
    kubeconfigs.write_admin(path, "https://127.0.0.1:6443", made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cluster = kubeconfig.load(path)
    assert (cluster.server, cluster.authority) == ("https://127.0.0.1:6443", made.pem)
    subject = x509.load_pem_x509_certificate(cluster.certificate).subject
    assert subject.rfc4514_string() == "CN=kubernetes-admin,O=system:masters"
