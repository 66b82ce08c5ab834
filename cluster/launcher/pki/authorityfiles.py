"""An authority in a directory: its certificate, and its key beside it."""

from pathlib import Path

from kubeherd.cluster.launcher.directory.rundir import write_all_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki.authority import Authority, KeyPair, Now


def ensure_authority(certificate: Path, now: Now) -> Authority:
    """The authority in this file, made if there is none. LauncherError if it is damaged, or cannot
    be written."""
    authority = load_authority(certificate, now)
    if authority is None:
        authority = Authority.create(now)
        pair = authority.key_pair()
        write_all_private(
            {certificate.with_suffix(".key"): pair.key, certificate: pair.certificate}
        )
    return authority


def load_authority(certificate: Path, now: Now) -> Authority | None:
    """The authority, None if there is none. LauncherError if it is damaged, or half of it is
    missing."""
    key = certificate.with_suffix(".key")
    if not (certificate.exists() or key.exists()):
        return None
    try:
        return Authority.load(KeyPair(certificate.read_bytes(), key.read_bytes()), now)
    except OSError as error:
        raise LauncherError(
            f"cannot read the certificate authority: {error.filename}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise LauncherError(
            f"the certificate authority in {certificate.parent} is damaged: {error}"
        ) from error
