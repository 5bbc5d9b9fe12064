"""Object stores: URLs, conditional puts and listings, the same on S3 (a real server) and through fsspec."""

import builtins
import threading

import pytest

from jobs.errors import EnvironmentProblem, TransientProblem, UserError
from jobs.objects import ObjectUrl, objects_at, parse_url
from jobs.objects_fsspec import FsspecObjects
from tests.object_store import use


@pytest.fixture(params=["s3", "fsspec"])
def objects(request, tmp_path, monkeypatch):
    if request.param == "fsspec":
        import fsspec

        url = ObjectUrl("memory", "bucket", tmp_path.name)
        return FsspecObjects(url, fsspec.filesystem("memory"))
    use(monkeypatch.setenv, request.getfixturevalue("s3_address"))
    return objects_at(f"s3://results/{tmp_path.name}")


def test_a_url_is_read_and_written_the_same():
    for text in ("s3://bucket/a/b", "s3://bucket/a/b/"):
        assert str(parse_url(text)) == "s3://bucket/a/b"
    assert parse_url("gs://my-bucket/results/go.emotions=1") == ObjectUrl("gs", "my-bucket", "results/go.emotions=1")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("http://host/a", "http:// is not known"),
        ("s3://bucket", "BUCKET/FOLDER"),
        ("s3://bucket/../a", "BUCKET/FOLDER"),
        ("s3://bucket/a//b", "BUCKET/FOLDER"),
        ("s3://B ucket/a", "BUCKET/FOLDER"),
        ("s3://key:hunter-two@bucket/a", "credentials come from the environment"),
        ("s3://bucket/a?versionId=1", "credentials come from the environment"),
    ],
)
def test_other_urls_are_refused_without_repeating_a_password(text, rule):
    with pytest.raises(UserError, match=rule) as caught:
        parse_url(text)
    assert "hunter" not in str(caught.value)


def test_what_is_written_is_read_and_listed(objects, tmp_path):
    assert objects.write("a/b", b"1") and objects.write("a/b", b"two")
    objects.write("ab", b"")
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    objects.send(file, "a/c d")
    assert dict(objects.listed("")) == {"a/b": 3, "a/c d": 256_000, "ab": 0}
    assert [key for key, _ in objects.listed("a/")] == ["a/b", "a/c d"]
    assert objects.read("a/b") == b"two" and objects.read("a") is None and objects.read("none") is None
    assert objects.fetch("a/c d", tmp_path / "again") and (tmp_path / "again").read_bytes() == file.read_bytes()
    assert not objects.fetch("none", tmp_path / "none")
    objects.remove(["a/b", "none", "ab"])
    assert [key for key, _ in objects.listed("")] == ["a/c d"]
    objects.remove([])


def test_of_several_conditional_puts_the_first_one_stays(objects):
    assert objects.write("token", b"first", is_new=True)
    assert not objects.write("token", b"second", is_new=True)
    assert objects.write("token", b"first", is_new=True), "a put whose answer was lost counts as its own"
    assert objects.read("token") == b"first"
    objects.write("token", b"third")
    assert objects.read("token") == b"third"


def test_calls_may_come_from_several_threads(objects):
    threads = [threading.Thread(target=objects.write, args=(f"k{n}", b"x")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(objects.listed("k"))) == 8


def test_more_keys_than_one_request_takes_are_removed(monkeypatch, s3_address):
    from jobs import objects_s3

    use(monkeypatch.setenv, s3_address)
    monkeypatch.setattr(objects_s3, "_BATCH", 3)
    objects = objects_at("s3://results/many")
    for n in range(7):
        objects.write(f"k{n}", b"")
    objects.remove([f"k{n}" for n in range(7)])
    assert list(objects.listed("")) == []


def test_a_missing_bucket_is_named(monkeypatch, s3_address):
    use(monkeypatch.setenv, s3_address)
    with pytest.raises(EnvironmentProblem, match="there is no bucket none-such"):
        list(objects_at("s3://none-such/a").listed(""))


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("AccessDenied", EnvironmentProblem, r"refused \(AccessDenied\)"),
        ("SlowDown", TransientProblem, "cannot be reached"),
        ("503", TransientProblem, "cannot be reached"),
    ],
)
def test_what_the_server_says_decides_who_must_act(code, error, words):
    from botocore.exceptions import ClientError

    from jobs.objects_s3 import S3Objects

    class Client:
        def put_object(self, **_):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")

    with pytest.raises(error, match=words):
        S3Objects(ObjectUrl("s3", "bucket", "a"), Client()).write("k", b"")


def test_a_conflict_of_conditional_puts_is_asked_again(monkeypatch):
    from botocore.exceptions import ClientError

    from jobs import objects_s3

    class Client:
        calls = 0

        def put_object(self, **_):
            self.calls += 1
            if self.calls < 3:
                raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")

    client = Client()
    monkeypatch.setattr(objects_s3.time, "sleep", lambda _: None)
    assert objects_s3.S3Objects(ObjectUrl("s3", "bucket", "a"), client).write("k", b"", is_new=True)
    assert client.calls == 3


def test_without_credentials_the_message_says_what_to_set():
    from botocore.exceptions import NoCredentialsError

    from jobs.objects_s3 import S3Objects

    class Client:
        def get_object(self, **_):
            raise NoCredentialsError

    with pytest.raises(EnvironmentProblem, match="AWS_PROFILE"):
        S3Objects(ObjectUrl("s3", "bucket", "a"), Client()).read("k")


@pytest.mark.parametrize(("scheme", "package", "how"), [("s3", "boto3", "finegrid"), ("gs", "gcsfs", "gcsfs")])
def test_what_is_not_installed_is_named(monkeypatch, scheme, package, how):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {package!r}", name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for module in [name for name in list(__import__("sys").modules) if name.split(".")[0] == package]:
        monkeypatch.delitem(__import__("sys").modules, module)
    monkeypatch.delitem(__import__("sys").modules, "jobs.objects_s3", raising=False)
    with pytest.raises(EnvironmentProblem, match=f"needs {package}: pip install .*{how}"):
        objects_at(f"{scheme}://bucket/not-installed")
