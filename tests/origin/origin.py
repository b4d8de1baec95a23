"""Starts the test origin and talks to it: for live tests and the bench.

    with Origin(directory, "--generate", "data/t/,count=100,size=1MiB") as origin:
        origin.s3().list_objects_v2(Bucket="data")
        Oss(origin)("GET", "data", "t/00000000", range="bytes=0-9")
        origin.faults({"action": "latency", "ms": 5000, "probability": 0.1})
        print(origin.counters()["totals"])
"""

import hashlib
import hmac
import http.client
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import boto3
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEYS = "ak:sk\nsts:secret:token\n"
SESSION_LOCK = threading.Lock()  # boto3's default session is not safe among threads


def binary():
    """Of the build that ATOLL_BUILD_DIR names, or the newest one; None when there is none."""
    build = os.environ.get("ATOLL_BUILD_DIR")
    named = build and os.path.join(build, "atoll-test-origin")
    found = sorted(ROOT.glob("build/*/atoll-test-origin"), key=os.path.getmtime)
    return named or (str(found[-1]) if found else None)


class Origin:
    """A process. `address` and `admin_address` are ADDR:PORT; its keys are those of KEYS, and it
    has an empty bucket "data" and those of the options."""

    def __init__(self, tmp_path, *options, root=None):
        keys = tmp_path / "keys"
        keys.write_text(KEYS)
        self.keys = keys
        root = root or tmp_path / "root"
        command = [binary(), "--keys-file", str(keys), "--root", str(root), "--bucket", "data"]
        self.process = subprocess.Popen(command + list(options), stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        assert line and line[0] == "ready", line
        self.address, self.admin_address = (part.split("=")[1] for part in line[1:])

    def stop(self):
        """Its exit status."""
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(timeout=90)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def admin(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            "http://%s%s" % (self.admin_address, path), data=data, method=method)
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)

    def counters(self, query=""):
        return self.admin("GET", "/counters" + query)

    def faults(self, *faults, **limits):
        self.admin("POST", "/faults", dict(limits, faults=list(faults)))

    def s3(self, key="ak", secret="sk", token=None, style="path", host=None, attempts=1):
        with SESSION_LOCK:
            return self._s3(key, secret, token, style, host, attempts)

    def _s3(self, key, secret, token, style, host, attempts):
        address = "%s:%s" % (host, self.address.split(":")[1]) if host else self.address
        return boto3.client(
            "s3", endpoint_url="http://" + address, region_name="us-east-1",
            aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token,
            config=Config(signature_version="s3v4", s3={"addressing_style": style},
                          retries={"total_max_attempts": attempts}, read_timeout=90))


class Oss:
    """OSS V4 by headers. `host` sets the Host header: virtual-host style where it has a bucket."""

    def __init__(self, origin, key="ak", secret="sk", token=None, host=None, when=None):
        self.origin, self.key, self.secret = origin, key, secret
        self.token, self.host, self.when = token, host, when

    def sign(self, method, bucket, key, query, headers):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.when or time.time()))
        headers.update({"x-oss-date": stamp, "x-oss-content-sha256": "UNSIGNED-PAYLOAD"})
        if self.token:
            headers["x-oss-security-token"] = self.token
        quote = lambda text, safe="": urllib.parse.quote(text, safe=safe + "~")
        signed = sorted((name.lower(), value) for name, value in headers.items()
                        if name.lower().startswith("x-oss-")
                        or name.lower() in ("content-type", "content-md5"))
        parameters = sorted((quote(name), quote(value)) for name, value in query.items())
        path = "/" + (bucket + "/" if bucket else "") + key
        canonical = "\n".join([
            method, quote(path, "/"),
            "&".join(name + ("=" + value if value else "") for name, value in parameters),
            "".join("%s:%s\n" % pair for pair in signed), "", "UNSIGNED-PAYLOAD"])
        scope = "%s/cn-hangzhou/oss/aliyun_v4_request" % stamp[:8]
        text = "\n".join(["OSS4-HMAC-SHA256", stamp, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        secret = ("aliyun_v4" + self.secret).encode()
        for part in scope.split("/") + [text]:
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        headers["Authorization"] = "OSS4-HMAC-SHA256 Credential=%s/%s,Signature=%s" % (
            self.key, scope, secret.hex())

    def __call__(self, method, bucket, key="", query=None, body=None, **headers):
        query = query or {}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.sign(method, bucket, key, query, headers)
        if self.host:
            headers["Host"] = self.host
        path = "/" + ("" if self.host else bucket + "/") + key
        url = urllib.parse.quote(path, safe="/~") + ("?" + urllib.parse.urlencode(
            query, quote_via=urllib.parse.quote) if query else "")
        connection = http.client.HTTPConnection(self.origin.address, timeout=90)
        connection.request(method, url, body=body, headers=headers)
        answer = connection.getresponse()
        answer.content = answer.read()
        connection.close()
        return answer
