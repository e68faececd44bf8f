"""The local certificate authority: one for all, whoever comes first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from cryptography import x509

from emulators import tls

NAMES = ("server", "vault-a", "vault-b", "vault-c")


def test_leaves_that_are_made_at_one_moment_are_of_one_authority(tmp_path: Path) -> None:
    together = Barrier(len(NAMES))

    def made(state: Path, name: str) -> None:
        together.wait()
        tls.ensure_leaf(state, ["localhost"], name)

    with ThreadPoolExecutor(len(NAMES)) as pool:
        for number in range(10):
            state = tmp_path / str(number)
            list(pool.map(made, [state] * len(NAMES), NAMES))
            authority = x509.load_pem_x509_certificate(tls.ca_certificate(state).read_bytes())
            for name in NAMES:
                leaf, _ = x509.load_pem_x509_certificates(tls.server_pair(state, name)[0].read_bytes())
                leaf.verify_directly_issued_by(authority)
