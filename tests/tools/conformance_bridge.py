"""Serves a program that speaks MCP on standard input and output over HTTP, because the official conformance suite knows
no other way. What it does not test is therefore HTTP itself.

    conformance_bridge.py PORT FOLDER PROGRAM ARGUMENT...

A session (`initialize`) has one process of its own. A request of 2026-07-28, where there are no sessions, has a process
for itself: what it needs must be in the request or in the daemon. FOLDER is where the processes are started.
"""

import json
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue

PORT, FOLDER, PROGRAM = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
SILENCE_SECONDS_MAX = 60


class Session:
    """One process. Its messages go to the open request that they belong to, or to the newest."""

    def __init__(self):
        self.id = uuid.uuid4().hex
        self.process = subprocess.Popen(PROGRAM, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()
        self.open = {}
        threading.Thread(target=self.read, daemon=True).start()

    def say(self, message):
        with self.lock:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            meta = message.get("params", {}).get("_meta", {})
            subscription = meta.get("io.modelcontextprotocol/subscriptionId")
            name = message["id"] if "method" not in message and "id" in message else subscription
            with self.lock:
                queue = self.open.get(json.dumps(name)) or next(reversed(self.open.values()), None)
            if queue:
                queue.put(message)
        with self.lock:
            for queue in self.open.values():
                queue.put(None)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


SESSIONS = {}

# What HTTP says of an error beside its code; a session says all with 200.
STATUS = {-32601: 404, -32602: 400, -32022: 400, -32021: 400}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def status(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.status(405)

    def do_DELETE(self):
        session = SESSIONS.pop(self.headers.get("Mcp-Session-Id"), None)
        if session:
            session.close()
        self.status(200 if session else 404)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        given = self.headers.get("Mcp-Session-Id")
        if given and given not in SESSIONS:
            return self.status(404)
        session = SESSIONS.get(given) or Session()
        kept = given in SESSIONS or message.get("method") == "initialize"
        if kept:
            SESSIONS[session.id] = session
        if "id" not in message or "method" not in message:
            session.say(message)
            self.status(202)
        else:
            self.stream(session, message, kept)
        if not kept:
            session.close()

    def stream(self, session, message, kept):
        name, queue = json.dumps(message["id"]), Queue()
        with session.lock:
            session.open[name] = queue
        session.say(message)
        try:
            first = queue.get(timeout=SILENCE_SECONDS_MAX)
        except Empty:
            first = None
        status = 200 if kept or not first else STATUS.get(first.get("error", {}).get("code"), 200)
        if status != 200:
            return self.status(status, json.dumps(first).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if kept:
            self.send_header("Mcp-Session-Id", session.id)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            answer = first
            while answer:
                self.wfile.write(b"event: message\ndata: " + json.dumps(answer).encode() + b"\n\n")
                self.wfile.flush()
                if answer.get("id") == message["id"] and "method" not in answer:
                    break
                answer = queue.get(timeout=SILENCE_SECONDS_MAX)
        except (Empty, BrokenPipeError, ConnectionResetError):
            pass
        with session.lock:
            session.open.pop(name, None)


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
