"""A certificate for contestants that encrypt."""

from __future__ import annotations

from pathlib import Path


def write_certificate(folder: str, host: str) -> tuple[str, str]:
    """Make one for `host`, with a P-256 key; returns the files of the chain and of the key."""
    import trustme  # noqa: PLC0415 (may be missing)

    certificate = trustme.CA().issue_cert(host)
    chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    certificate.private_key_pem.write_to_path(str(key))
    return str(chain), str(key)
