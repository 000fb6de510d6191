"""Speaks with the service: signs in, and reads page after page."""

import base64
import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

PATIENCE_SECONDS = 30
UNAUTHORIZED = 401


class RefusedError(Exception):
    """The service doesn't let this user in, or isn't one."""


class Session:
    """A user who has signed in."""

    def __init__(self, service: str, token: str) -> None:
        self._service = service
        self._token = token

    @classmethod
    def begin(cls, service: str, user: str, password: str) -> "Session":
        """Sign in. The password goes into a header: URLs are written down by everybody.

        Raises:
            RefusedError: the service doesn't know the user, or not with this password; or it isn't
                a service.
            OSError: it can't be reached.
        """
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        answer = _asked(f"{service}/session", f"Basic {credentials}")
        return cls(service, answer["token"])

    def customers(self) -> Iterator[dict[str, str]]:
        """Yield all customers, in the order of the service.

        Raises:
            OSError: it can't be reached.
        """
        page = 0
        while True:
            query = urlencode({"page": page})
            answer = _asked(f"{self._service}/customers?{query}", f"Bearer {self._token}")
            yield from answer["customers"]
            if not answer["more"]:
                return
            page += 1


def _asked(url: str, authorization: str) -> dict:
    if not url.startswith(("https://", "http://")):
        raise RefusedError(f"{url} isn't the address of a service")
    request = Request(url, headers={"Authorization": authorization})  # noqa: S310 - see above
    try:
        with urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - see above
            return json.load(answer)
    except HTTPError as error:
        with error:
            reason = error.read(1000).decode(errors="replace")
        if error.code == UNAUTHORIZED:
            raise RefusedError(f"the service answers: {reason}") from None
        raise
