"""An SFTP server at 127.0.0.1 over a folder, by paramiko; it follows links, as most servers do."""

# ruff: noqa: ARG002, PTH102, PTH105, PTH107, PTH116, PTH118, PTH208 - the library's signatures, and its plain paths

from __future__ import annotations

import base64
import hashlib
import io
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import paramiko

if TYPE_CHECKING:
    from pathlib import Path

_USER = "us"
_PASSWORD = "sftp-s3cr3t"
_HOST_KEY = paramiko.RSAKey.generate(2048)
_USER_KEY = paramiko.RSAKey.generate(2048)


class SftpServer:
    """Serves `root` to whoever has the password or the key."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self.logins = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"sftp://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def options(self) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.sha256(_HOST_KEY.asbytes()).digest()).decode().rstrip("=")
        return {"user": _USER, "password": _PASSWORD, "host_key": f"SHA256:{digest}"}

    @property
    def user_key(self) -> str:
        text = io.StringIO()
        _USER_KEY.write_private_key(text)
        return text.getvalue()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            self._transports.append(transport)
            transport.add_server_key(_HOST_KEY)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, root=str(self._root))
            try:
                transport.start_server(server=_Door(self))
            except (paramiko.SSHException, EOFError):
                continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()
        for each in self._transports:
            each.close()


class _Door(paramiko.ServerInterface):
    def __init__(self, server: SftpServer) -> None:
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        self._server.logins += 1
        good = (username, password) == (_USER, _PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == _USER and key.asbytes() == _USER_KEY.asbytes()
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: Any, root: str, *args: Any, **options: Any) -> None:
        super().__init__(server, *args, **options)
        self._root = root

    def _at(self, path: str) -> str:
        return self._root + self.canonicalize(path)

    def list_folder(self, path: str) -> Any:
        try:
            found = []
            for name in os.listdir(self._at(path)):
                each = paramiko.SFTPAttributes.from_stat(os.lstat(os.path.join(self._at(path), name)))
                each.filename = name
                found.append(each)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return found

    def _do(self, work: Any) -> Any:
        try:
            result = work()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK if result is None else result

    def stat(self, path: str) -> Any:
        return self._do(lambda: paramiko.SFTPAttributes.from_stat(os.stat(self._at(path))))

    def lstat(self, path: str) -> Any:
        return self._do(lambda: paramiko.SFTPAttributes.from_stat(os.lstat(self._at(path))))

    def open(self, path: str, flags: int, attr: Any) -> Any:
        def work() -> Any:
            number = os.open(self._at(path), flags, 0o644)
            handle = paramiko.SFTPHandle(flags)
            file = os.fdopen(number, "wb" if flags & os.O_WRONLY else "rb")
            handle.filename, handle.readfile, handle.writefile = path, file, file
            return handle

        return self._do(work)

    def remove(self, path: str) -> Any:
        return self._do(lambda: os.remove(self._at(path)))

    def mkdir(self, path: str, attr: Any) -> Any:
        return self._do(lambda: os.mkdir(self._at(path)))

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        return self._do(lambda: os.replace(self._at(oldpath), self._at(newpath)))
