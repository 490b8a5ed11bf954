"""As much of the Hugging Face Hub as a download asks for, on this machine."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """As much of the hub as a download asks for; ``asked`` keeps every path."""

    daemon_threads = True

    def __init__(self, repositories):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.asked = []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """repositories: name -> (refs: {revision: commit}, commits: {commit: {path: bytes}})."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, Hub)
        return self.server

    def log_message(self, format, *args):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value):
        self.reply(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self):
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.hub.asked.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path):
            name, what, revision = match.groups()
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name, revision, what = match.groups()
        else:
            return self.reply(404)
        if name not in self.hub.repositories:
            return self.reply(401, X_Error_Code="RepoNotFound", X_Error_Message="no such repo")
        refs, commits = self.hub.repositories[name]
        commit = refs.get(revision, revision)
        if commit not in commits:
            return self.reply(404, X_Error_Code="RevisionNotFound", X_Error_Message="none")
        files = commits[commit]
        if what == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self.json({"id": name, "modelId": name, "sha": commit, "siblings": siblings})
        if what == "tree":
            assert parse_qs(split.query)["recursive"][0].lower() in ("true", "1")
            return self.json(
                [{"type": "file", "path": k, "size": len(v), "oid": sha(v)} for k, v in
                 files.items()]
            )  # fmt: skip
        if what not in files:
            return self.reply(404, X_Error_Code="EntryNotFound")
        data = files[what]
        headers = {"ETag": f'"{sha(data)}"', "X_Repo_Commit": commit}
        if name == "user/cut" and what == "model.onnx" and self.command == "GET":
            self.send_response(200)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
            return None
        return self.reply(200, data, **headers)

    do_HEAD = do_GET


def sha(data):
    return hashlib.sha1(data).hexdigest()
