"""Where files are, from a URL and its options to a place that can be read and written.

file:///FOLDER          a folder below the workspace's own, `CROSSDOCK_FILES/ORGANIZATION/WORKSPACE`; `file:///` is all of it
sftp://HOST[:PORT]/FOLDER   `user`, `password` or `private_key`, `host_key`; `/~/FOLDER` is below the user's home
s3://BUCKET/PREFIX      `access_key`, `secret_key`, `region`, `endpoint` of a store that is not Amazon's
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from server.kernel.errors import Permanent, code
from server.transport.folders import Folder
from server.transport.paths import file_refused
from server.transport.s3 import S3Files, S3Place
from server.transport.sftp import PORT, SftpFiles, SftpPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from urllib.parse import SplitResult

    import requests

    from server.sdk.files import Files
    from server.transport.databases import Reach
    from server.transport.names import Resolver

FILES_URL_REFUSED = code("FILES_URL_REFUSED", "The URL of a place with files is not one that is opened.")


def open_files(
    url: str,
    options: Mapping[str, Any],
    reach: Reach,
    http: Callable[[], requests.Session],
    resolver: Resolver | None = None,
) -> Files:
    """Open a place; `options` are secrets and settings of its kind.

    Raises:
        Permanent: FILES_URL_REFUSED, FILE_REFUSED; for SFTP see `SftpFiles`.

    """
    try:
        parts = urlsplit(url)
        named = bool(parts.username or parts.password or parts.query or parts.fragment)
        port = parts.port
    except ValueError as error:
        raise _refused("it is none") from error
    if named or "\\" in url:
        raise _refused("user info, a query or a fragment is not taken")
    path = unquote(parts.path)
    if parts.scheme == "file":
        return _folder(parts, path, reach)
    if parts.scheme == "sftp":
        return SftpFiles(_sftp(parts, port, path, options), reach.addresses, resolver)
    if parts.scheme == "s3":
        return S3Files(_s3(parts, path, options), http())
    raise _refused("only file, sftp and s3 are known")


def _folder(parts: SplitResult, path: str, reach: Reach) -> Folder:
    if parts.netloc:
        raise _refused("a folder is file:///FOLDER, with three slashes")
    if reach.folder is None:
        raise file_refused("this server opens no local files; CROSSDOCK_FILES names their folder")
    if not reach.folder.is_dir():
        raise file_refused("the workspace has no folder below CROSSDOCK_FILES")
    return Folder(reach.folder, path.strip("/"))


def _sftp(parts: SplitResult, port: int | None, path: str, options: Mapping[str, Any]) -> SftpPlace:
    if not parts.hostname or not parts.hostname.isascii():
        raise _refused("it names no host")
    if "user" not in options or "host_key" not in options:
        raise _refused("SFTP needs user and host_key")
    home = path.startswith("/~")
    folder = path.removeprefix("/~").strip("/") if home else path
    return SftpPlace(
        host=parts.hostname,
        port=port or PORT,
        user=options["user"],
        host_key=options["host_key"],
        password=options.get("password"),
        private_key=options.get("private_key"),
        folder=(folder or ".") if home else (folder or "/"),
    )


def _s3(parts: SplitResult, path: str, options: Mapping[str, Any]) -> S3Place:
    if not parts.netloc or parts.port is not None:
        raise _refused("it names no bucket")
    if "access_key" not in options or "secret_key" not in options:
        raise _refused("S3 needs access_key and secret_key")
    given = {name: options[name] for name in ("region", "endpoint") if name in options}
    return S3Place(
        bucket=parts.netloc,
        prefix=path,
        access_key=options["access_key"],
        secret_key=options["secret_key"],
        **given,
    )


def _refused(reason: str) -> Permanent:
    return Permanent(f"the URL of the files is refused: {reason}", code=FILES_URL_REFUSED, source="files")
