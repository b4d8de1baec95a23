"""The test origin itself, by clients that share nothing with it: boto3, and the signer for OSS of
tests/origin/origin.py."""

import base64
import hashlib
import hmac
import http.client
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import botocore.exceptions
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "origin"))
import generated  # noqa: E402
from origin import KEYS, Origin, Oss, binary  # noqa: E402

MIB, PATIENCE = 1 << 20, 90
pytestmark = pytest.mark.skipif(not binary(), reason="atoll-test-origin is not built")


@pytest.fixture
def origin(tmp_path):
    started = Origin(tmp_path)
    yield started
    assert started.stop() == 0


@pytest.fixture
def start(tmp_path):
    all_started = []

    def starter(*options, **more):
        all_started.append(Origin(tmp_path, *options, **more))
        return all_started[-1]

    yield starter
    for one in all_started:
        if one.process.poll() is None:
            assert one.stop() == 0


def wait_until(check):
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def code_of(call, *arguments, **named):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **named)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


# ---- S3 -----------------------------------------------------------------------------------------

ODD_KEYS = ["a", "a/b", "a/", "a//c", "/", "//", ".", "..", "../x", "a/../b", "sp ace+plus%41",
            "üñï/日本", "x" * 1000, "q?a=b&c#d", "\x01control", "~tilde-._", "'quotes\"<&>"]


@pytest.mark.parametrize("style,host", [("path", None), ("virtual", "localhost.test")])
def test_odd_keys_are_kept_as_they_are(start, style, host, monkeypatch):
    origin = start("--domain", "localhost.test")
    if host:
        import socket
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda name, *rest, **named: real(
            "127.0.0.1" if name.endswith(host) else name, *rest, **named))
    s3 = origin.s3(style=style, host=host)
    for key in ODD_KEYS:
        s3.put_object(Bucket="data", Key=key, Body=key.encode())
    for key in ODD_KEYS:
        assert s3.get_object(Bucket="data", Key=key)["Body"].read() == key.encode()
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket="data")["Contents"]]
    assert listed == sorted(ODD_KEYS, key=lambda key: key.encode())
    for key in ODD_KEYS:
        s3.delete_object(Bucket="data", Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket="data")


def test_ranges_and_conditions(origin):
    s3 = origin.s3()
    body = os.urandom(1000)
    etag = s3.put_object(Bucket="data", Key="k", Body=body, ContentType="a/b",
                         Metadata={"who": "me"})["ETag"]
    assert etag == '"%s"' % hashlib.md5(body).hexdigest()
    for text, want in [("bytes=0-9", body[:10]), ("bytes=990-2000", body[990:]),
                       ("bytes=990-", body[990:]), ("bytes=-7", body[-7:])]:
        answer = s3.get_object(Bucket="data", Key="k", Range=text, IfMatch=etag)
        assert answer["Body"].read() == want
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"] == "bytes 993-999/1000"
    assert answer["ContentType"] == "a/b" and answer["Metadata"] == {"who": "me"}
    head = s3.head_object(Bucket="data", Key="k")
    assert head["ContentLength"] == 1000 and head["ETag"] == etag
    get = s3.get_object
    assert code_of(get, Bucket="data", Key="k", Range="bytes=1000-") == (416, "InvalidRange")
    assert code_of(get, Bucket="data", Key="k", IfMatch='"0"') == (412, "PreconditionFailed")
    assert code_of(get, Bucket="data", Key="k", IfNoneMatch=etag) == (304, "304")
    assert code_of(get, Bucket="data", Key="none") == (404, "NoSuchKey")
    assert code_of(get, Bucket="none", Key="k") == (404, "NoSuchBucket")
    assert code_of(s3.head_object, Bucket="data", Key="none") == (404, "404")


def test_listing_in_pages_with_a_delimiter(origin):
    s3 = origin.s3()
    keys = sorted("%s/%03d" % (folder, i) for folder in "abc" for i in range(70))
    for key in keys + ["top"]:
        s3.put_object(Bucket="data", Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="data", PaginationConfig={"PageSize": 13})
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys + ["top"]
    page = s3.list_objects_v2(Bucket="data", Delimiter="/", MaxKeys=2)
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["a/", "b/"]
    assert page["IsTruncated"] and page["KeyCount"] == 2
    page = s3.list_objects_v2(Bucket="data", Delimiter="/",
                              ContinuationToken=page["NextContinuationToken"])
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["c/"]
    assert [item["Key"] for item in page["Contents"]] == ["top"]
    page = s3.list_objects_v2(Bucket="data", Prefix="b/", StartAfter="b/0675", FetchOwner=True)
    assert [item["Key"] for item in page["Contents"]] == ["b/068", "b/069"]
    assert page["Contents"][0]["Owner"]["ID"]
    pages = s3.get_paginator("list_objects").paginate(
        Bucket="data", Delimiter="/", PaginationConfig={"PageSize": 1})
    assert [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])] == [
        "a/", "b/", "c/"]
    assert code_of(s3.list_objects_v2, Bucket="data", ContinuationToken="x")[1] == "InvalidArgument"


def test_multipart_upload_and_multipart_read(origin):
    s3 = origin.s3()
    parts = [os.urandom(5 * MIB), os.urandom(6 * MIB), b"tail"]
    upload = s3.create_multipart_upload(Bucket="data", Key="big", ContentType="x/y")["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket="data", Key="big", UploadId=upload, PartNumber=number,
                                Body=part)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    complete = s3.complete_multipart_upload
    bad = [dict(done[0], ETag='"0"')] + done[1:]
    assert code_of(complete, Bucket="data", Key="big", UploadId=upload,
                   MultipartUpload={"Parts": bad}) == (400, "InvalidPart")
    assert code_of(complete, Bucket="data", Key="big", UploadId=upload,
                   MultipartUpload={"Parts": done[::-1]}) == (400, "InvalidPartOrder")
    etag = complete(Bucket="data", Key="big", UploadId=upload,
                    MultipartUpload={"Parts": done})["ETag"]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert etag == '"%s-3"' % hashlib.md5(digests).hexdigest()
    for number, part in enumerate(parts, 1):
        answer = s3.get_object(Bucket="data", Key="big", PartNumber=number)
        assert answer["Body"].read() == part and answer["PartsCount"] == 3
    assert s3.get_object(Bucket="data", Key="big")["Body"].read() == b"".join(parts)
    assert code_of(s3.get_object, Bucket="data", Key="big", PartNumber=4)[0] == 416
    upload = s3.create_multipart_upload(Bucket="data", Key="big")["UploadId"]
    s3.upload_part(Bucket="data", Key="big", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket="data", Key="big", UploadId=upload)
    assert code_of(s3.upload_part, Bucket="data", Key="big", UploadId=upload, PartNumber=1,
                   Body=b"x") == (404, "NoSuchUpload")
    assert s3.head_object(Bucket="data", Key="big")["ContentType"] == "x/y"


def test_presigned_urls(origin):
    s3 = origin.s3()
    s3.put_object(Bucket="data", Key="a b", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "a b"})
    assert urllib.request.urlopen(url).read() == b"hello"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace("a%20b", "a%20c"))
    assert caught.value.code == 403 and b"SignatureDoesNotMatch" in caught.value.read()


def test_who_may_not(origin):
    call = dict(Bucket="data", Key="k")
    assert code_of(origin.s3(secret="no").get_object, **call) == (403, "SignatureDoesNotMatch")
    assert code_of(origin.s3(key="no").get_object, **call) == (403, "InvalidAccessKeyId")
    assert code_of(origin.s3("sts", "secret").get_object, **call) == (403, "InvalidAccessKeyId")
    assert code_of(origin.s3("sts", "secret", "x").get_object, **call) == (400, "InvalidToken")
    assert code_of(origin.s3("sts", "secret", "token").get_object, **call) == (404, "NoSuchKey")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen("http://%s/data/k" % origin.address)
    assert caught.value.code == 403 and b"<Code>AccessDenied</Code>" in caught.value.read()
    origin.keys.write_text("new:secret\n")
    origin.process.send_signal(signal.SIGHUP)
    wait_until(lambda: code_of(origin.s3("new", "secret").get_object, **call)[0] == 404)
    assert code_of(origin.s3().get_object, **call) == (403, "InvalidAccessKeyId")


def test_a_wrong_clock_is_refused(start):
    origin = start("--clock-offset", "-1000")
    assert code_of(origin.s3().list_objects_v2, Bucket="data") == (403, "RequestTimeTooSkewed")
    assert Oss(origin, when=time.time() - 1000)("GET", "data").status == 200


def test_objects_survive_a_restart_and_plain_files_are_served(start, tmp_path):
    plain = tmp_path / "root" / "files" / "a" / "b.txt"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(b"plain")
    origin = start()
    s3 = origin.s3()
    s3.put_object(Bucket="data", Key="x/", Body=b"", Metadata={"a": "b"})
    s3.put_object(Bucket="data", Key="x//y", Body=b"1")
    s3.put_object(Bucket="data", Key="x//y", Body=b"22")
    s3.put_object(Bucket="data", Key="gone", Body=b"22")
    s3.delete_object(Bucket="data", Key="gone")
    assert s3.get_object(Bucket="files", Key="a/b.txt")["Body"].read() == b"plain"
    before = s3.list_objects_v2(Bucket="data")["Contents"]
    origin.stop()
    origin = start("--generate", "data/x//,count=1,size=9,suffix=z")
    s3 = origin.s3()
    after = s3.list_objects_v2(Bucket="data")["Contents"]
    assert [item for item in after if item["Key"] != "x//00000000z"] == before
    assert s3.get_object(Bucket="data", Key="x//y")["Body"].read() == b"22"
    assert s3.head_object(Bucket="data", Key="x/")["Metadata"] == {"a": "b"}
    etag = s3.head_object(Bucket="files", Key="a/b.txt")["ETag"]
    plain.write_bytes(b"other bytes")
    answer = s3.get_object(Bucket="files", Key="a/b.txt")
    assert answer["Body"].read() == b"other bytes" and answer["ETag"] != etag


def test_a_reader_keeps_its_version_across_an_overwrite(origin):
    s3 = origin.s3()
    old = os.urandom(32 * MIB)
    s3.put_object(Bucket="data", Key="k", Body=old)
    reader = s3.get_object(Bucket="data", Key="k")["Body"]
    first = reader.read(MIB)
    s3.put_object(Bucket="data", Key="k", Body=b"new")
    assert first + reader.read() == old
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"new"


def test_generated_objects_are_those_of_the_formula(start):
    origin = start("--generate", "gen/t/,count=50,size=1KiB-90KiB,seed=7,fanout=20,suffix=.bin")
    s3 = origin.s3()
    keys = [generated.key("t/", i, ".bin", 20) for i in range(50)]
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="gen")["Contents"]] == keys
    for i, key in enumerate(keys):
        want = generated.data(7, key, 0, generated.size(7, i, 1024, 90 * 1024))
        assert s3.get_object(Bucket="gen", Key=key)["Body"].read() == want
    s3.put_object(Bucket="data", Key="huge", Metadata={"atoll-generate": "size=20GiB,seed=3"})
    assert s3.head_object(Bucket="data", Key="huge")["ContentLength"] == 20 << 30
    at = (19 << 30) + 12345
    got = s3.get_object(Bucket="data", Key="huge", Range="bytes=%d-%d" % (at, at + 99999))
    assert got["Body"].read() == generated.data(3, "huge", at, 100000)
    report = origin.admin("GET", "/objects?bucket=gen&prefix=t/d00001/&sha256=1")["objects"]
    want = generated.data(7, keys[20], 0, generated.size(7, 20, 1024, 90 * 1024))
    assert len(report) == 20 and report[0]["sha256"] == hashlib.sha256(want).hexdigest()


def test_counters_count_requests_and_bytes(origin):
    s3 = origin.s3()
    s3.put_object(Bucket="data", Key="a/k", Body=b"x" * 5000)
    origin.admin("POST", "/reset")
    s3.get_object(Bucket="data", Key="a/k")["Body"].read()
    s3.get_object(Bucket="data", Key="a/k", Range="bytes=0-99")["Body"].read()
    s3.head_object(Bucket="data", Key="a/k")
    code_of(s3.get_object, Bucket="data", Key="none")
    report = origin.counters()
    assert report["keys"]["data/a/k"]["GET"] == {"requests": 2, "bytes": 5100}
    assert report["keys"]["data/a/k"]["HEAD"] == {"requests": 1, "bytes": 0}
    assert report["totals"]["kinds"]["GET"]["requests"] == 3
    assert report["totals"]["statuses"] == {"200": 2, "206": 1, "404": 1}
    assert list(origin.counters("?prefix=data/no")["keys"]) == ["data/none"]
    assert "keys" not in origin.counters("?keys=0")


def test_bytes_of_an_answer_cut_by_the_client_are_counted_as_sent(origin):
    s3 = origin.s3()
    s3.put_object(Bucket="data", Key="k", Body=bytes(256 * MIB))
    answer = s3.get_object(Bucket="data", Key="k")["Body"]
    answer.read(MIB)
    answer.close()
    wait_until(lambda: "cut" in origin.counters()["totals"]["kinds"]["GET"])
    counted = origin.counters()["keys"]["data/k"]["GET"]
    assert counted["cut"] == 1 and MIB <= counted["bytes"] < 64 * MIB


# ---- OSS ----------------------------------------------------------------------------------------


def crc64(data):
    """CRC-64/XZ, slowly."""
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ ((1 << 64) - 1)


@pytest.mark.parametrize("host", [None, "data.oss.test"])
def test_oss_objects(start, host):
    origin = start("--domain", "oss.test")
    oss = Oss(origin, host=host)
    body = os.urandom(1000)
    key = "a b+c/ü%2F"
    put = oss("PUT", "data", key, body=body)
    assert put.status == 200 and put.getheader("x-oss-request-id")
    etag = '"%s"' % hashlib.md5(body).hexdigest().upper()
    crc = str(crc64(body))
    assert put.getheader("ETag") == etag and put.getheader("x-oss-hash-crc64ecma") == crc
    get = oss("GET", "data", key, range="bytes=10-19", if_match=etag)
    assert get.status == 206 and get.content == body[10:20]
    assert get.getheader("Content-Range") == "bytes 10-19/1000"
    assert get.getheader("x-oss-hash-crc64ecma") == crc
    assert oss("HEAD", "data", key).getheader("x-oss-hash-crc64ecma") == crc
    assert oss("DELETE", "data", key).status == 204


def test_oss_ranges_beyond_the_end(origin):
    oss = Oss(origin)
    oss("PUT", "data", "k", body=b"0123456789")
    standard = {"x_oss_range_behavior": "standard"}
    for text in ["bytes=5-20", "bytes=10-20"]:
        answer = oss("GET", "data", "k", range=text)
        assert answer.status == 200 and answer.content == b"0123456789"
    answer = oss("GET", "data", "k", range="bytes=5-20", **standard)
    assert answer.status == 206 and answer.content == b"56789"
    assert oss("GET", "data", "k", range="bytes=10-20", **standard).status == 416


def test_oss_errors(origin):
    answer = Oss(origin)("GET", "data", "none")
    assert answer.status == 404 and b"<EC>0026-00000001</EC>" in answer.content
    assert answer.getheader("x-oss-ec") == "0026-00000001"
    answer = Oss(origin)("HEAD", "data", "none")
    assert b"<Code>NoSuchKey</Code>" in base64.b64decode(answer.getheader("x-oss-err"))
    answer = Oss(origin, secret="no")("GET", "data", "k")
    assert answer.status == 403 and b"SignatureDoesNotMatch" in answer.content
    answer = Oss(origin, key="sts", secret="secret", token="no")("GET", "data", "k")
    assert answer.status == 403 and b"InvalidSecurityToken" in answer.content
    assert Oss(origin, key="sts", secret="secret", token="token")("GET", "data", "k").status == 404
    answer = Oss(origin, when=time.time() - 1000)("GET", "data", "k")
    assert answer.status == 403 and b"RequestTimeTooSkewed" in answer.content
    Oss(origin)("PUT", "data", "k", body=b"x")
    answer = Oss(origin)("GET", "data", "k", if_match='"x"')
    assert answer.status == 412 and b"<Code>PreconditionFailed</Code>" in answer.content


def test_oss_listing(origin):
    oss = Oss(origin)
    keys = ["d e/%03d" % i for i in range(150)]
    for key in keys:
        oss("PUT", "data", key, body=b"x")
    query = {"list-type": "2", "prefix": "d e/", "encoding-type": "url"}
    page = oss("GET", "data", query=query).content.decode()
    assert page.count("<Contents>") == 100 and "<Key>d%20e%2F000</Key>" in page
    token = page.split("<NextContinuationToken>")[1].split("<")[0]
    page = oss("GET", "data", query=dict(query, **{"continuation-token": token})).content.decode()
    assert page.count("<Contents>") == 50 and "<IsTruncated>false</IsTruncated>" in page
    page = oss("GET", "data", query={"list-type": "2", "delimiter": "/"}).content.decode()
    assert "<CommonPrefixes><Prefix>d e/</Prefix></CommonPrefixes>" in page
    assert oss("GET", "data", query={"list-type": "2", "max-keys": "1001"}).status == 400


def test_oss_v1(origin):
    Oss(origin)("PUT", "data", "a b", body=b"hello")

    def get(secret):
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        text = "GET\n\n\n%s\n/data/a b" % date
        mac = hmac.new(secret, text.encode(), hashlib.sha1).digest()
        connection = http.client.HTTPConnection(origin.address, timeout=PATIENCE)
        connection.request("GET", "/data/a%20b", headers={
            "Date": date, "Authorization": "OSS ak:" + base64.b64encode(mac).decode()})
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert get(b"sk") == (200, b"hello")
    assert get(b"no")[0] == 403


# ---- faults -------------------------------------------------------------------------------------


@pytest.fixture
def stocked(start):
    origin = start("--generate", "gen/k,count=20,size=1MiB,seed=1")
    origin.body = lambda i=0: generated.data(1, generated.key("k", i), 0, MIB)
    origin.get = lambda i=0, **named: origin.s3().get_object(
        Bucket="gen", Key=generated.key("k", i), **named)
    return origin


def test_latency_of_a_share_of_requests(stocked):
    stocked.faults({"action": "latency", "ms": 300, "probability": 0.3, "seed": 5, "kind": "GET"})
    took = []
    for i in range(20):
        start_s = time.monotonic()
        stocked.get(i)["Body"].read()
        took.append(time.monotonic() - start_s >= 0.3)
    report = stocked.admin("GET", "/faults")["faults"][0]
    assert report["matched"] == 20 and 1 <= report["fired"] <= 12
    assert report["fired"] <= sum(took)  # a busy machine may be slow on its own, never too fast


def test_the_same_seed_draws_the_same(stocked):
    def run():
        stocked.faults({"action": "status", "probability": 0.5, "seed": 11})
        got = []
        for i in range(20):
            try:
                stocked.get(i)
                got.append(200)
            except botocore.exceptions.ClientError as error:
                got.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return got

    first = run()
    assert run() == first and set(first) == {200, 503}


def test_errors_for_the_next_requests(stocked):
    stocked.faults({"action": "status", "count": 2, "skip": 1})
    stocked.get()
    assert code_of(stocked.get) == (503, "SlowDown")
    assert code_of(stocked.get) == (503, "SlowDown")
    stocked.get()
    code = "DownloadTrafficRateLimitExceeded"
    stocked.faults({"action": "status", "code": code, "prefix": "k", "bucket": "gen"})
    answer = Oss(stocked)("GET", "gen", generated.key("k", 0))
    assert answer.status == 503 and code.encode() in answer.content
    stocked.admin("DELETE", "/faults")
    stocked.get()


def test_cut_dropped_and_frozen_connections(stocked):
    stocked.faults({"action": "cut", "bytes": 100000, "count": 1})
    with pytest.raises(Exception):
        stocked.get()["Body"].read()
    wait_until(lambda: stocked.counters()["totals"]["kinds"]["GET"].get("bytes") == 100000)
    stocked.faults({"action": "drop", "count": 1})
    with pytest.raises(botocore.exceptions.BotoCoreError):
        stocked.get()
    stocked.faults({"action": "freeze", "count": 1})
    url = stocked.s3().generate_presigned_url(
        "get_object", Params={"Bucket": "gen", "Key": generated.key("k", 0)})
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(url, timeout=0.5).read()
    wait_until(lambda: not stocked.counters()["totals"]["in_flight"])


def test_wrong_answers(stocked):
    body = stocked.body()
    stocked.faults({"action": "wrong-range"})
    assert stocked.get(Range="bytes=10-19")["ContentRange"] == "bytes 11-20/1048576"
    stocked.faults({"action": "short-range"})
    answer = stocked.get(Range="bytes=10-19")
    assert answer["ContentRange"] == "bytes 10-14/1048576" and answer["Body"].read() == body[10:15]
    stocked.faults({"action": "wrong-bytes"})
    got = stocked.get(Range="bytes=10-19")["Body"].read()
    assert sum(a != b for a, b in zip(got, body[10:20])) == 1
    stocked.faults({"action": "whole"})
    assert stocked.get(Range="bytes=10-19")["Body"].read() == body
    stocked.faults()
    etag = stocked.get()["ETag"]
    stocked.faults({"action": "etag"})
    assert stocked.get(IfMatch=etag)["ETag"] != etag
    stocked.faults({"action": "changed", "skip": 1})
    assert stocked.get(IfMatch=etag)["ETag"] == etag
    assert code_of(stocked.get, IfMatch=etag) == (412, "PreconditionFailed")


def test_bandwidth_limits(stocked):
    for limits in [{"bandwidth": 4 * MIB}, {"connection_bandwidth": 2 * MIB}]:
        stocked.faults(**limits)
        start_s = time.monotonic()
        threads = [threading.Thread(target=lambda i=i: stocked.get(i)["Body"].read())
                   for i in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert time.monotonic() - start_s > 0.4
        stocked.faults()
    assert stocked.get()["Body"].read() == stocked.body()


def test_requests_beyond_the_rate_are_refused(stocked):
    s3, codes = stocked.s3(), []
    stocked.faults(requests_per_second=3)

    def is_refused():
        try:
            s3.head_object(Bucket="gen", Key=generated.key("k", 0))
            codes.append(200)
        except botocore.exceptions.ClientError as error:
            codes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return codes[-1] == 503

    wait_until(is_refused)  # as soon as four come in a second
    assert len(codes) > 3 and set(codes[:-1]) == {200}


def test_it_stops_while_requests_wait(start):
    origin = start("--generate", "gen/k,count=1,size=1MiB", "--fault", "freeze,kind=GET")
    url = origin.s3().generate_presigned_url(
        "get_object", Params={"Bucket": "gen", "Key": generated.key("k", 0)})
    thread = threading.Thread(target=lambda: pytest.raises(Exception, urllib.request.urlopen, url))
    thread.start()
    wait_until(lambda: origin.counters()["totals"]["in_flight"])
    assert origin.stop() == 0
    thread.join()


# ---- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize("options,message", [
    (["--listen", "0.0.0.0:0"], "not a loopback address"),
    (["--listen", "nonsense"], "not ADDR:PORT"),
    (["--generate", "b,size=no"], "not BUCKET/PREFIX"),
    (["--fault", "no-such-action"], "bad or unknown member of a fault: action"),
    (["--keys-file", "/nonexistent"], "no keys"),
    (["--root", "/proc/nothing"], "cannot use the directory"),
    (["--threads", "0"], "--threads"),
    (["stray"], "no arguments"),
])
def test_bad_options(tmp_path, options, message):
    keys = tmp_path / "keys"
    keys.write_text(KEYS)
    done = subprocess.run([binary(), "--keys-file", str(keys)] + options, capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode != 0 and message in done.stderr and done.stdout == ""


def test_help_names_every_option():
    done = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0
    for word in ["--listen", "--fault", "wrong-bytes", "POST /faults", "Examples"]:
        assert word in done.stdout
