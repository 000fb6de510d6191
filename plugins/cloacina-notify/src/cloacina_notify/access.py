"""What the commands do, and who may."""

from collections.abc import Mapping
from types import MappingProxyType

from cloacina_core.plugin import Act, Role, changes, reads

ACTS: Mapping[str, Act | None] = MappingProxyType(
    {
        "notify list": Act("notify.list", reads()),
        "notify history": Act("notify.history", reads()),
        "notify test": Act("notify.test", changes(Role.RUN), "name"),
        "notify retry": Act("notify.retry", changes(Role.RUN), "ids"),
        "notify enable": Act("notify.enable", changes(Role.RUN), "name"),
    }
)
