"""What a store of blobs tells of each, without handing out its bytes."""

from dataclasses import dataclass
from datetime import datetime

from cloacina_core.foundation.digest import Digest


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Bytes that are kept under their digest."""

    digest: Digest
    size: int
    """In bytes, as far as the store knows without reading them."""
    put_at: datetime
    """When they were last stored, by the clock of whoever keeps them; aware, UTC."""
