"""Places with files: a folder, an SFTP server, an S3-compatible store. Whole files, and no way out of the place."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from server.kernel.errors import Permanent, Retryable
from server.sdk.files import matches
from server.transport.addresses import AddressPolicy
from server.transport.aws import signed
from server.transport.databases import Reach
from server.transport.files import open_files
from server.transport.limits import Limits
from server.transport.sync import guarded_session
from tests.support.s3_server import S3Server
from tests.support.sftp_server import SftpServer

LOOPBACK = ("127.0.0.0/8", "::1/128")
BIG = os.urandom(1 << 16) * 400  # 25 MiB: more than a block and a part


def reach(folder=None, allow=LOOPBACK):
    return Reach(AddressPolicy(allow), folder)


def opened(url, options, where):
    return open_files(url, options, where, lambda: guarded_session(where.addresses, Limits(total=10.0)))


@contextmanager
def local(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    with opened("file:///in", {}, reach(tmp_path / "home")) as files:
        yield files


@contextmanager
def sftp(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    with SftpServer(tmp_path) as server, opened(f"{server.url}/home/in", server.options, reach()) as files:
        yield files


@contextmanager
def s3(_tmp_path):
    with S3Server() as server, opened("s3://bucket/in", server.options, reach()) as files:
        server.objects["bucket/secret.txt"] = (b"secret", datetime.now(UTC))
        yield files


@pytest.fixture(params=[local, sftp, s3])
def files(request, tmp_path):
    with request.param(tmp_path) as made:
        yield made


def put(files, path, content=b"x"):
    with files.write(path) as file:
        file.write(content)


def names(files, pattern):
    return sorted(each.path for each in files.find(pattern))


def test_what_is_written_is_found_and_read(files):
    before = datetime.now(UTC).replace(microsecond=0)
    assert names(files, "**/*") == []
    put(files, "a.csv", b"one")
    put(files, "deep/er/ü b.csv", b"two")
    put(files, "a.csv", b"three")
    assert names(files, "**/*.csv") == ["a.csv", "deep/er/ü b.csv"]
    (found,) = files.find("*.csv")
    assert (found.path, found.size, found.modified >= before) == ("a.csv", 5, True)
    with files.open("deep/er/ü b.csv") as file:
        assert file.read() == b"two"
    files.remove("a.csv")
    files.remove("a.csv")
    assert names(files, "*") == []
    with pytest.raises(Permanent) as error:
        files.open("a.csv")
    assert error.value.code == "FILE_MISSING"


@pytest.mark.parametrize(("make", "size"), [(local, 25), (s3, 25), (sftp, 5)])
def test_a_large_file_passes_in_pieces(tmp_path, make, size):
    content = BIG[: size << 20]
    with make(tmp_path) as files:
        with files.write("big.bin") as file:
            for begin in range(0, len(content), 1 << 20):
                file.write(content[begin : begin + (1 << 20)])
        with files.open("big.bin") as file:
            read = b"".join(iter(lambda: file.read(1 << 20), b""))
    assert read == content


def test_a_file_that_is_not_finished_never_shows(files):
    put(files, "a.csv", b"old")

    def fail():
        with files.write("a.csv") as file:
            file.write(b"new")
            assert names(files, "**/*") == ["a.csv"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(files, "**/*") == ["a.csv"]
    with files.open("a.csv") as file:
        assert file.read() == b"old"


WAYS_OUT = [
    "../secret.txt",
    "../../secret.txt",
    "a/../../secret.txt",
    "/etc/passwd",
    "/",
    "",
    ".",
    "..",
    "a//b",
    "a/./b",
    "..\\secret.txt",
    "a\x00b",
    "a\nb",
    "x" * 1025,
]


@pytest.mark.parametrize("path", WAYS_OUT)
def test_no_path_leads_out_of_the_place(files, path):
    def write():
        put(files, path)

    for act in (lambda: files.open(path), lambda: files.find(path), lambda: files.remove(path), write):
        with pytest.raises(Permanent) as error:
            act()
        assert error.value.code == "FILE_REFUSED"


@pytest.mark.parametrize("make", [local, sftp])
@pytest.mark.parametrize("target", ["../../secret.txt", "/etc/passwd", "../../"])
def test_no_link_leads_out_of_the_place(tmp_path, make, target):
    with make(tmp_path) as files:
        put(files, "a.csv")
        (tmp_path / "home/in/link").symlink_to(target)
        assert names(files, "**/*") == ["a.csv"]
        for path in ("link", "link/secret.txt"):
            for act in (files.open, lambda path: put(files, path + "/x")):
                with pytest.raises(Permanent) as error:
                    act(path)
                assert error.value.code in {"FILE_REFUSED", "FILE_MISSING"}
        put(files, "b.csv")
        assert (tmp_path / "secret.txt").read_text() == "secret"


def test_what_is_no_plain_file_is_not_read(tmp_path):
    with local(tmp_path) as files:
        put(files, "a.csv")
        os.mkfifo(tmp_path / "home/in/pipe")
        assert names(files, "*") == ["a.csv"]
        with pytest.raises(Permanent) as error:
            files.open("pipe")
        assert error.value.code == "FILE_REFUSED"
        assert stat.S_IMODE((tmp_path / "home/in/a.csv").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///../other", "FILE_REFUSED"),
        ("file:///%2e%2e/other", "FILE_REFUSED"),
        ("file://host/x", "FILES_URL_REFUSED"),
        ("http://example.com/x", "FILES_URL_REFUSED"),
        ("sftp://user:password@example.com/x", "FILES_URL_REFUSED"),
        ("sftp://example.com/x", "FILES_URL_REFUSED"),
        ("s3://bucket/x?y=z", "FILES_URL_REFUSED"),
        ("s3://bucket/x", "FILES_URL_REFUSED"),
        ("memory://x", "FILES_URL_REFUSED"),
        ("file:///x:\\y", "FILES_URL_REFUSED"),
    ],
)
def test_a_place_that_is_none_of_ours_is_refused(tmp_path, url, code):
    with pytest.raises(Permanent) as error:
        opened(url, {}, reach(tmp_path))
    assert error.value.code == code


@pytest.mark.parametrize("folder", [None, "missing"])
def test_without_a_folder_of_the_workspace_no_local_file_is_opened(tmp_path, folder):
    with pytest.raises(Permanent) as error:
        opened("file:///", {}, reach(tmp_path / folder if folder else None))
    assert error.value.code == "FILE_REFUSED"


def test_addresses_are_vetted_for_every_kind_of_server(tmp_path):
    with SftpServer(tmp_path) as ssh, S3Server() as store:
        nowhere = reach(allow=())
        with pytest.raises(Permanent) as error:
            opened(f"{ssh.url}/", ssh.options, nowhere)
        assert error.value.code == "ADDRESS_REFUSED"
        with pytest.raises(Permanent) as error:
            opened("s3://bucket", store.options, nowhere).find("*")
        assert error.value.code == "ADDRESS_REFUSED"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"password": "no"}, "SFTP_REFUSED"),
        ({"host_key": "SHA256:" + "A" * 43}, "HOST_KEY_REFUSED"),
        ({"host_key": "nonsense"}, "HOST_KEY_REFUSED"),
        ({"private_key": "nonsense"}, "SFTP_REFUSED"),
    ],
)
def test_a_server_that_is_not_the_known_one_or_knows_us_not_is_left(tmp_path, wrong, code):
    with SftpServer(tmp_path) as server:
        with pytest.raises(Permanent) as error:
            opened(f"{server.url}/", server.options | wrong, reach())
        assert error.value.code == code
        assert server.logins == (0 if code == "HOST_KEY_REFUSED" else server.logins)


def test_a_private_key_opens_an_sftp_server(tmp_path):
    with SftpServer(tmp_path) as server:
        options = {**server.options, "private_key": server.user_key}
        del options["password"]
        with opened(f"{server.url}/", options, reach()) as files:
            put(files, "a.csv")
            assert names(files, "*") == ["a.csv"]


def test_a_store_that_refuses_our_signature_is_left():
    with S3Server() as server, pytest.raises(Permanent) as error:
        opened("s3://bucket", server.options | {"secret_key": "no"}, reach()).find("*")
    assert error.value.code == "UPSTREAM_FORBIDDEN"


def test_a_failed_upload_leaves_no_parts_behind():
    with S3Server() as server:
        server.fail_parts_after = 1
        with pytest.raises(Retryable):
            put(opened("s3://bucket", server.options, reach()), "big", BIG)
        assert (server.objects, server.uploads) == ({}, {})


def test_a_listing_of_many_pages_is_read_whole():
    with S3Server() as server:
        for number in range(25):
            server.objects[f"bucket/p/{number}.csv"] = (b"x", datetime.now(UTC))
        server.objects["bucket/p/"] = (b"", datetime.now(UTC))
        assert len(opened("s3://bucket", server.options, reach()).find("p/*")) == 25


def test_a_request_is_signed_as_amazon_documents():
    """The GET object example of "Authenticating Requests: Using the Authorization Header"."""
    shown = signed(
        "GET",
        "examplebucket.s3.amazonaws.com",
        "/test.txt",
        {},
        {"range": "bytes=0-9"},
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        key=("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region="us-east-1",
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert shown["Authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "a/b.csv", False),
        ("*.csv", ".a.csv", False),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "a/b/c.csv", True),
        ("**/*.csv", ".git/c.csv", False),
        ("in/**", "in/a/b", True),
        ("in/**/*", "in/a/b", True),
        ("a?c[12]", "abc2", True),
        ("a?c[12]", "a/c2", False),
        ("A.csv", "a.csv", False),
        (".a*", ".abc", True),
    ],
)
def test_a_pattern_matches_as_in_a_shell(pattern, path, fits):
    assert matches(pattern, path) is fits
