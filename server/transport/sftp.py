"""SFTP over a socket that we dialled: the address is vetted, the host's key is known beforehand, nothing else is tried."""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import hmac
import io
import secrets
import socket
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from server.kernel.errors import Permanent, Retryable, code
from server.sdk.files import MOST_FILES, FileInfo, matches, start_of
from server.sdk.ranges import BlockReader
from server.transport.failures import connect_failed, timed_out
from server.transport.names import shared_resolver
from server.transport.paths import file_missing, file_refused, too_many, vet_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paramiko

    from server.transport.addresses import AddressPolicy
    from server.transport.names import Resolver

SFTP_FAILED = code("SFTP_FAILED", "The SFTP server ended the connection or failed; tried again on the schedule.")
SFTP_REFUSED = code("SFTP_REFUSED", "The SFTP server does not accept our credentials, or ours cannot be read.")
HOST_KEY_REFUSED = code(
    "HOST_KEY_REFUSED", "The SFTP server shows another key than the one that the integration knows as `host_key`."
)

PORT = 22
_FIRST_FREE_PORT = 1024
_SECONDS = 30.0
_LOOK_UP_SECONDS = 5.0
_DEEPEST = 32
_PIECE = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpPlace:
    """Where and as whom. `host_key` is `SHA256:…` as ssh-keygen prints it; `folder` is absolute or the user's home."""

    host: str
    port: int
    user: str
    host_key: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    folder: str = "."


class SftpFiles:
    """The files below the place's folder; links are not followed."""

    def __init__(self, place: SftpPlace, policy: AddressPolicy, resolver: Resolver | None = None) -> None:
        """Connect.

        Raises:
            Permanent: ADDRESS_REFUSED, HOST_KEY_REFUSED, SFTP_REFUSED. Retryable: it cannot be reached.

        """
        self._base = place.folder.rstrip("/") or "/"
        self._transport = _logged_in(place, _dialled(place, policy, resolver))
        with self._errors(""):
            self._sftp = _client(self._transport)

    def find(self, pattern: str) -> list[FileInfo]:
        vet_path(pattern)
        found: list[FileInfo] = []
        start = start_of(pattern)
        self._links(start)
        with self._errors(pattern), suppress(FileNotFoundError):
            self._collect(start, pattern, found, 0)
        return sorted(found)

    def _collect(self, prefix: str, pattern: str, found: list[FileInfo], depth: int) -> None:
        folders: list[str] = []  # read after this one: the library knows one listing at a time
        for each in self._sftp.listdir_iter(self._at(prefix.removesuffix("/"))):
            name, mode = each.filename, each.st_mode or 0
            if name in {".", ".."} or "/" in name:
                continue
            path = prefix + name
            if stat.S_ISDIR(mode) and not name.startswith("."):
                folders.append(f"{path}/")
            elif stat.S_ISREG(mode) and matches(pattern, path):
                found.append(FileInfo(datetime.fromtimestamp(each.st_mtime or 0, UTC), path, each.st_size or 0))
            if len(found) > MOST_FILES:
                raise too_many(MOST_FILES)
        for inner in folders if depth < _DEEPEST else ():
            with suppress(FileNotFoundError):  # it went while we looked; the others are still there
                self._collect(inner, pattern, found, depth + 1)

    def open(self, path: str, offset: int = 0) -> BinaryIO:
        vet_path(path)
        self._links(path)
        with self._errors(path):
            size = self._sftp.lstat(self._at(path)).st_size or 0
            remote = _Remote(self._sftp.open(self._at(path), "rb"), (offset, size), self, path)
        return cast("BinaryIO", io.BufferedReader(remote, 256 * 1024))

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        parts = vet_path(path)
        self._links(path)
        temporary = "/".join((*parts[:-1], f".{parts[-1][:100]}.{secrets.token_hex(8)}.part"))
        with self._errors(path):
            self._make(parts[:-1])
            file = self._sftp.open(self._at(temporary), "wbx")
            try:
                file.set_pipelined(pipelined=True)
                with file:
                    yield cast("BinaryIO", file)
                self._sftp.posix_rename(self._at(temporary), self._at(path))
            except BaseException:  # whatever ended the block, half a file does not stay; it goes on up
                with suppress(OSError, EOFError):
                    self._sftp.remove(self._at(temporary))
                raise

    def remove(self, path: str) -> None:
        vet_path(path)
        self._links(path)
        with self._errors(path), suppress(FileNotFoundError):
            self._sftp.remove(self._at(path))

    def _make(self, parts: tuple[str, ...]) -> None:
        for end in range(len(parts) + 1):
            path = self._at("/".join(parts[:end]))
            try:
                self._sftp.lstat(path)
            except FileNotFoundError:
                self._sftp.mkdir(path)

    def _links(self, path: str) -> None:
        """Refuse a path that leads through a link: it may lead anywhere over there."""
        parts = [part for part in path.split("/") if part]
        for end in range(1, len(parts) + 1):
            try:
                mode = self._sftp.lstat(self._at("/".join(parts[:end]))).st_mode or 0
            except FileNotFoundError:
                return
            except (OSError, EOFError) as error:
                raise failed(error, path) from error
            if stat.S_ISLNK(mode):
                raise file_refused("a link stands where a plain file or folder should")

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        import paramiko  # noqa: PLC0415 - loaded once a place of this kind is there

        try:
            yield
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise failed(error, path) from error

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class _Remote(BlockReader):
    """A file over there, many requests for pieces of a block under way at once; its failures are ours."""

    def __init__(self, file: paramiko.SFTPFile, span: tuple[int, int], files: SftpFiles, path: str) -> None:
        super().__init__(self._pieces, offset=span[0])
        self._file, self._end, self._files, self._path = file, span[1], files, path

    def _pieces(self, offset: int, size: int) -> bytes:
        with self._files._errors(self._path):  # noqa: SLF001 - a part of it
            end = min(offset + size, self._end)
            places = [(at, min(_PIECE, end - at)) for at in range(offset, end, _PIECE)]
            return b"".join(self._file.readv(places)) if places else b""

    def close(self) -> None:
        with suppress(OSError, EOFError):
            self._file.close()
        super().close()


def failed(error: Exception, path: str) -> Permanent | Retryable:
    """Build the error for what the library raised."""
    if isinstance(error, FileNotFoundError):
        return file_missing(path)
    if isinstance(error, PermissionError):
        return file_refused("the SFTP server gives no right to it")
    if isinstance(error, TimeoutError):
        return timed_out("total", _SECONDS)
    name = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return Retryable(f"the SFTP server failed: {name or type(error).__name__}", code=SFTP_FAILED, source="files")


def _dialled(place: SftpPlace, policy: AddressPolicy, resolver: Resolver | None) -> socket.socket:
    """Connect to the first address that answers; every one is vetted, at SSH's own port as at those from 1024."""
    answers = (resolver or shared_resolver()).answers(place.host, place.port, _LOOK_UP_SECONDS)
    port = None if place.port == PORT or place.port >= _FIRST_FREE_PORT else place.port
    for address in answers:
        policy.vet(address, port)
    for address in answers:
        with suppress(OSError):
            return socket.create_connection((address, place.port), _SECONDS / len(answers))
    raise connect_failed(place.host, "nobody answers")


def _logged_in(place: SftpPlace, connection: socket.socket) -> paramiko.Transport:
    import paramiko  # noqa: PLC0415 - loaded once a place of this kind is there

    transport = paramiko.Transport(connection)
    transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = _SECONDS
    try:
        transport.start_client(timeout=_SECONDS)
        _vet_host_key(transport.get_remote_server_key(), place.host_key)
        if place.private_key is not None:
            transport.auth_publickey(place.user, _key(place.private_key))
        else:
            transport.auth_password(place.user, place.password or "", fallback=False)
    except paramiko.AuthenticationException as error:
        transport.close()
        raise Permanent("the SFTP server refused our credentials", code=SFTP_REFUSED, source="files") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        raise failed(error, "") from error
    except BaseException:  # a key that is not the known one, or an end from outside: the socket does not stay open
        transport.close()
        raise
    return transport


def _client(transport: paramiko.Transport) -> paramiko.SFTPClient:
    import paramiko  # noqa: PLC0415 - loaded once a place of this kind is there

    channel = transport.open_session(timeout=_SECONDS)
    channel.settimeout(_SECONDS)
    channel.invoke_subsystem("sftp")
    return paramiko.SFTPClient(channel)


def _vet_host_key(shown: paramiko.PKey, known: str) -> None:
    try:
        wanted = base64.b64decode(known.removeprefix("SHA256:") + "=", validate=False)
    except binascii.Error:
        wanted = b""
    if not hmac.compare_digest(hashlib.sha256(shown.asbytes()).digest(), wanted):
        raise Permanent("the SFTP server's key is not the known one", code=HOST_KEY_REFUSED, source="files")


def _key(text: str) -> paramiko.PKey:
    """Read a private key, whatever its kind."""
    import paramiko  # noqa: PLC0415 - loaded once a place of this kind is there

    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with suppress(paramiko.SSHException, ValueError, IndexError):
            return kind.from_private_key(io.StringIO(text))
    raise Permanent("the private key cannot be read", code=SFTP_REFUSED, source="files")
