"""Requests to one address over one connection: a rate limit, retries, and no redirects."""

import email.utils
import http.client
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from advcli.errors import AdvcliError

log = logging.getLogger(__name__)

_RETRIED = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# The scores of a thousand images of ten thousand classes, in digits.
_LONGEST_ANSWER = 256_000_000
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_ASKED = 0.5, 30.0, 600.0


@dataclass
class HttpSession:
    """A connection that is kept open between requests.

    A redirect is refused, so that the headers, which may hold a password, reach no other server.

    Args:
        url: the address.
        method: of the requests.
        headers: of the requests.
        name: of the server in messages.
        timeout: seconds to wait for an answer.
        retries: how often a request is sent again.
        rate: requests a second at most; 0 means no limit.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    name: str
    timeout: float
    retries: int
    rate: float = 0.0
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)

    def send(self, body: bytes) -> bytes:
        """Return the answer to a request.

        Raises:
            AdvcliError: there is no answer, or it is an error.
        """
        failure, pause = "", _FIRST_PAUSE
        for attempt in range(self.retries + 1):
            if attempt:
                log.info("'%s' %s: trying again in %.3g s", self.name, failure, pause)
                time.sleep(pause)
            self._keep_rate()
            pause = min(_FIRST_PAUSE * 2 ** (attempt + 1), _LONGEST_PAUSE)
            try:
                status, headers, content = self._exchange(body)
            except TimeoutError:
                failure = f"does not answer within {self.timeout:g} s"
                continue
            except (OSError, http.client.HTTPException) as error:
                failure = f"cannot be reached: {getattr(error, 'strerror', None) or error or type(error).__name__}"
                continue
            if 200 <= status < 300:
                return content
            failure = f"answers {status} {_phrase(status)}: {_first_words(content)}".removesuffix(": ")
            if 300 <= status < 400:
                hint = "give that address itself: requests are sent only to the given address"
                raise AdvcliError(f"'{self.name}' answers {status}, moved to '{headers.get('Location', '')}'", hint)
            if status not in _RETRIED:
                raise AdvcliError(f"'{self.name}' {failure}", _hint(status))
            pause = max(pause, _asked_pause(headers.get("Retry-After")))
            if pause > _LONGEST_ASKED:
                raise AdvcliError(f"'{self.name}' {failure}; it requires a pause of {pause:.0f} s", "continue later")
        raise AdvcliError(f"'{self.name}' {failure}", f"tried {self.retries + 1} times; continue when it answers again")

    def _exchange(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        parts = urlsplit(self.url)
        if self._connection is None:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            self._connection.request(self.method, target, body, dict(self.headers))
            answer = self._connection.getresponse()
            content = answer.read(_LONGEST_ANSWER + 1)
            if answer.length and len(content) <= _LONGEST_ANSWER:
                # The server closed the connection before the length that it announced.
                raise http.client.IncompleteRead(content, answer.length)
            if len(content) > _LONGEST_ANSWER:
                raise AdvcliError(f"'{self.name}' answers with more than {_LONGEST_ANSWER // 1_000_000} MB")
            return answer.status, answer.headers, content
        except BaseException:
            # What is left of an answer must not be taken for the next one.
            self._connection.close()
            self._connection = None
            raise

    def _keep_rate(self) -> None:
        if self.rate:
            now = time.monotonic()
            time.sleep(max(0.0, self._next - now))
            self._next = max(self._next, now) + 1 / self.rate


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _first_words(content: bytes) -> str:
    return " ".join(content[:300].decode("utf-8", "replace").split())


def _hint(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "give the credentials as a header in a .toml file"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "send fewer images together: batch in a .toml file"
    return "check the address, the image size and the form of a request; a .toml file can set them"


def _asked_pause(text: str | None) -> float:
    """Return the seconds that a ``Retry-After`` header asks for; 0 without one."""
    if text is None:
        return 0.0
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
