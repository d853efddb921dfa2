"""Downloads: a lock for one process at a time, time limits, and errors in one line."""

import contextlib
import errno
import http.client
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

# Errors of the folder, not of the network.
LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)


@contextlib.contextmanager
def only_process(lock: Path) -> Iterator[None]:
    """Hold a lock; wait while another process holds it.

    The end of a process frees the lock. Where files cannot be locked, there is no wait.
    """
    import fcntl

    with lock.open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Time limit after which silent connections are given up."""
    before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(seconds)
        yield
    finally:
        socket.setdefaulttimeout(before)


def fetch(url: str, path: Path, *, seconds: float, attempts: int) -> None:
    """Download a file to a path, with further attempts if the connection breaks off or stalls.

    seconds: time without a byte after which a connection has stalled; attempts: the number of tries.
    Raises the last attempt's OSError or HTTPException. Without a connection or an answer (URLError), or if the folder
    is at fault (see is_local), the first error is raised.
    """
    for left in reversed(range(attempts)):
        try:
            return _fetch(url, path, seconds)
        except (OSError, http.client.HTTPException) as error:
            if not left or is_local(error) or isinstance(error, urllib.error.URLError):
                raise


def _fetch(url: str, path: Path, seconds: float) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "luckmatters"})
    with urllib.request.urlopen(request, timeout=seconds) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file, 2**20)
        announced = answer.headers.get("Content-Length")
    arrived = path.stat().st_size
    if announced is not None and arrived < int(announced):
        raise ConnectionError(f"what arrived is cut short: {arrived:,} of {int(announced):,} bytes")


def is_local(error: Exception) -> bool:
    """Whether an error is the folder's fault (full, not writable), not the network's."""
    return isinstance(error, OSError) and error.errno in LOCAL


def reason(error: Exception) -> str:
    """Reason of a failed download in one line, without addresses."""
    if type(error) is RuntimeError:  # torchvision's, with advice that does not fit here
        return "what arrived is not the original: cut short, or a wrong checksum"
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answers {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(cause, "strerror", None) or " ".join(str(cause).split())
