"""How long certificates are good, and when they are renewed. Pure.

As with kubeadm an authority is good for ten years, what it signs for one. Both are renewed when
seven tenths of their life are over, which is when client-go begins to (util/certificate): a cluster
that runs, or is started once in three months, never shows one that has ended.
"""

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)
CLOCK_SKEW: Final = timedelta(minutes=5)
"""So much earlier than it is made a certificate begins: clocks differ."""
_RENEWED_AFTER = 0.7


def renew_at(certificate: x509.Certificate) -> datetime:
    """The moment from which on it should be renewed."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * _RENEWED_AFTER


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it should be renewed now; so should one that is not valid yet: some clock was wrong
    when it was made."""
    return not certificate.not_valid_before_utc <= now < renew_at(certificate)
