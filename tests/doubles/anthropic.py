#!/usr/bin/env python3
"""A scripted stand-in for the Anthropic Messages API, for tests that drive the
real Claude Code CLI without any network.

It needs nothing but Python 3.9+. It listens on 127.0.0.1 only, answers
``POST /v1/messages`` (streaming SSE or plain JSON, as the request asks) from a
JSON script, and appends every request it saw to a JSONL log.

    python3 fake_anthropic.py --script turns.json --port 0 \\
        --port-file port.txt --log requests.jsonl

Then, for the client :

    ANTHROPIC_BASE_URL=http://127.0.0.1:$(cat port.txt) \\
    ANTHROPIC_API_KEY=sk-ant-test \\
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 HOME=<scratch home> \\
    claude -p "do the thing" --output-format stream-json --verbose \\
        --mcp-config mcp.json --strict-mcp-config --allowedTools mcp__orch__plan

Script format
-------------
Either a list of turns, or an object::

    {
      "turns":  [ TURN, ... ],            # the default (main) conversation
      "routes": [                         # optional: other conversations
        {"name": "sub", "when": {"any_text": "regex"}, "turns": [...]},
        ...
      ],
      "exhausted": TURN                   # optional; default: a text "(script over)"
    }

A TURN is one assistant message (one API call). Forms::

    "plain text"                          # text, stop_reason end_turn
    {"text": "..."}                       # the same
    {"tool": "Write", "input": {...}}     # one tool_use, stop_reason tool_use
    {"content": [                         # anything, in order
        {"text": "I will..."},
        {"thinking": "hmm"},
        {"tool": "Write", "input": {...}, "id": "toolu_1"},
        {"tool": "Read",  "input": {...}}]}

and every TURN may also carry::

    "stop_reason": "max_tokens"           # override
    "usage": {"input_tokens": 10, "output_tokens": 5}
    "delay": 0.5                          # seconds before the first byte
    "chunk_delay": 0.01                   # seconds between SSE events
    "chunk": 12                           # characters per delta (default 24)
    "error": {"status": 529, "type": "overloaded_error", "message": "..."}
    "drop_after": 3                       # close the socket after N SSE events
    "expect": {"last_tool_result": "re", "any_text": "re", "tools": ["Write"],
               "tool_error": false}
    "repeat": true                        # never advance past this turn

``input`` and ``text`` may use templates, filled from the request:
``{{last_tool_result}}``, ``{{tool_result:<tool_use_id>}}``, ``{{model}}``,
``{{env:NAME}}``, ``{{match:<regex>}}`` (group 1, or the whole match, searched
in the last tool result and then in the whole conversation).
A string that is exactly one template keeps being a string.

How a turn is chosen
--------------------
Requests are assigned to a route: the first whose ``when`` matches, else the
main one. ``when`` keys (all must hold): ``any_text`` (regex over the whole
conversation's text), ``first_user`` (regex over the first user message),
``system`` (regex over the system prompt), ``model`` (regex), ``tool``
(a tool of this name is offered), ``header`` ({"name": "regex"}).

Two ways to pick the turn inside a route (``--mode`` or "mode" in the script):

* ``count`` (default): turn index = number of assistant messages already in
  the request. Answers are then a pure function of the request, so retries and
  several concurrent sessions replay correctly.
* ``next``: each request takes the next unused turn of its route (use it when
  the client compacts or forks its history, or an ``error`` turn must come
  once and then succeed on retry).

A request that offers no tools (titles, summaries, topic checks, probes) never
consumes a turn: it is answered with ``--aside`` text ("ok").

Claude Code 2.1.330 defers MCP tools behind its ToolSearch tool: they are not
in a request's ``tools`` (so not in ``expect.tools``), yet a scripted tool_use
naming one directly does run. ENABLE_TOOL_SEARCH=false lists them all.

A failed ``expect`` is answered with HTTP 400 and recorded in the log with
``"expect_failed"``; ``GET /_fake/state`` returns counters and failures, so a
test can assert on them. ``POST /_fake/script`` replaces the script;
``POST /_fake/reset`` sets the counters back.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


# ----------------------------------------------------------------- the request

def blocks(content):
    """A message's content as a list of blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content or []


def block_text(block):
    """The readable text of one content block, tool results included."""
    kind = block.get("type")
    if kind == "text":
        return block.get("text", "")
    if kind == "tool_result":
        return "\n".join(block_text(b) for b in blocks(block.get("content")))
    if kind == "tool_use":
        return json.dumps(block.get("input", {}))
    return ""


class View:
    """What a script may ask about one request."""

    def __init__(self, body, headers):
        self.body, self.headers = body, headers
        self.messages = body.get("messages") or []
        self.model = body.get("model", "fake-model")
        self.tools = [t.get("name") for t in body.get("tools") or []]
        self.system = "\n".join(block_text(b) for b in blocks(body.get("system")))
        self.assistants = sum(1 for m in self.messages if m.get("role") == "assistant")
        self.results = []  # (tool_use_id, text, is_error) in order
        for message in self.messages:
            if message.get("role") != "user":
                continue
            for block in blocks(message.get("content")):
                if block.get("type") == "tool_result":
                    self.results.append((block.get("tool_use_id"), block_text(block),
                                         bool(block.get("is_error"))))

    @property
    def all_text(self):
        return "\n".join(block_text(b) for m in self.messages for b in blocks(m.get("content")))

    @property
    def first_user(self):
        for message in self.messages:
            if message.get("role") == "user":
                return "\n".join(block_text(b) for b in blocks(message.get("content")))
        return ""

    @property
    def last_result(self):
        return self.results[-1][1] if self.results else ""

    def matches(self, when):
        tests = {
            "any_text": lambda v: re.search(v, self.all_text, re.S),
            "first_user": lambda v: re.search(v, self.first_user, re.S),
            "system": lambda v: re.search(v, self.system, re.S),
            "model": lambda v: re.search(v, self.model),
            "tool": lambda v: v in self.tools,
            "header": lambda v: all(re.search(p, self.headers.get(k, "")) for k, p in v.items()),
        }
        return all(tests[key](value) for key, value in when.items())

    def unmet(self, expect):
        """The first expectation of a turn that this request does not meet."""
        if "last_tool_result" in expect and not re.search(
                expect["last_tool_result"], self.last_result, re.S):
            return f"last tool result {self.last_result[:300]!r} !~ {expect['last_tool_result']!r}"
        if "any_text" in expect and not re.search(expect["any_text"], self.all_text, re.S):
            return f"conversation has nothing like {expect['any_text']!r}"
        for name in expect.get("tools", []):
            if name not in self.tools:
                return f"tool {name!r} is not offered; offered: {self.tools}"
        if "tool_error" in expect:
            got = bool(self.results) and self.results[-1][2]
            if got != expect["tool_error"]:
                return f"tool_error is {got}: {self.last_result[:300]!r}"
        return None

    def fill(self, value):
        """Expand {{templates}} in strings, however deep."""
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if not isinstance(value, str) or "{{" not in value:
            return value

        def one(found):
            name, _, arg = found.group(1).partition(":")
            if name == "last_tool_result":
                return self.last_result
            if name == "tool_result":
                return next((t for i, t, _ in self.results if i == arg), "")
            if name == "model":
                return self.model
            if name == "env":
                return os.environ.get(arg, "")
            if name == "match":
                for text in (self.last_result, self.all_text):
                    hit = re.search(arg, text, re.S)
                    if hit:
                        return hit.group(1) if hit.groups() else hit.group(0)
                return ""
            return found.group(0)

        return re.sub(r"\{\{(.+?)\}\}", one, value)


# ---------------------------------------------------------------- the response

def build_message(turn, view):
    """One scripted turn as an Anthropic message object."""
    if isinstance(turn, str):
        turn = {"text": turn}
    parts = turn.get("content") or [{k: turn[k] for k in ("text", "thinking", "tool", "input", "id")
                                     if k in turn}]
    content = []
    for part in view.fill(parts):
        if "tool" in part:
            content.append({"type": "tool_use", "id": part.get("id") or "toolu_" + uuid.uuid4().hex[:22],
                            "name": part["tool"], "input": part.get("input") or {}})
        elif "thinking" in part:
            content.append({"type": "thinking", "thinking": part["thinking"], "signature": "ZmFrZQ=="})
        else:
            content.append({"type": "text", "text": part.get("text", "")})
    calls = any(b["type"] == "tool_use" for b in content)
    usage = {"input_tokens": 100, "output_tokens": 20,
             "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    usage.update(turn.get("usage") or {})
    return {"id": "msg_" + uuid.uuid4().hex[:22], "type": "message", "role": "assistant",
            "model": view.model, "content": content,
            "stop_reason": turn.get("stop_reason") or ("tool_use" if calls else "end_turn"),
            "stop_sequence": None, "usage": usage}


def pieces(text, size):
    return [text[i:i + size] for i in range(0, len(text), size)] or [""]


def sse_events(message, chunk):
    """The streaming form of a message: (event name, data) pairs."""
    usage = message["usage"]
    start = dict(message, content=[], stop_reason=None,
                 usage=dict(usage, output_tokens=1))
    yield "message_start", {"type": "message_start", "message": start}
    for index, block in enumerate(message["content"]):
        kind = block["type"]
        if kind == "text":
            opening, deltas = {"type": "text", "text": ""}, [
                {"type": "text_delta", "text": p} for p in pieces(block["text"], chunk)]
        elif kind == "thinking":
            opening = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": p}
                      for p in pieces(block["thinking"], chunk)]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        else:
            opening = {"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": p}
                      for p in pieces(json.dumps(block["input"]), chunk)]
        yield "content_block_start", {"type": "content_block_start", "index": index,
                                      "content_block": opening}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index,
                                          "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    yield "message_delta", {"type": "message_delta",
                            "delta": {"stop_reason": message["stop_reason"],
                                      "stop_sequence": message["stop_sequence"]},
                            "usage": usage}
    yield "message_stop", {"type": "message_stop"}


# ------------------------------------------------------------------ the script

class Script:
    """The turns, who has consumed what, and what went wrong."""

    def __init__(self, data, mode, aside):
        self.lock = threading.Lock()
        self.aside = aside
        self.default_mode = mode
        self.load(data)

    def load(self, data):
        if isinstance(data, list):
            data = {"turns": data}
        with self.lock:
            self.mode = data.get("mode") or self.default_mode
            self.routes = list(data.get("routes") or []) + [
                {"name": "main", "when": {}, "turns": data.get("turns") or []}]
            self.exhausted = data.get("exhausted") or {"text": "(script over)"}
            self.reset_locked()

    def reset_locked(self):
        self.served = {r.get("name", str(i)): 0 for i, r in enumerate(self.routes)}
        self.requests, self.asides, self.over, self.failures = 0, 0, 0, []

    def reset(self):
        with self.lock:
            self.reset_locked()

    def choose(self, view):
        """(route name, turn) for this request; route None is an aside."""
        with self.lock:
            self.requests += 1
            if not view.tools:
                self.asides += 1
                return None, {"text": self.aside}
            for i, route in enumerate(self.routes):
                if view.matches(route.get("when") or {}):
                    break
            name, turns = route.get("name", str(i)), route["turns"]
            index = view.assistants if self.mode == "count" else self.served[name]
            for earlier, turn in enumerate(turns[:index + 1]):
                if isinstance(turn, dict) and turn.get("repeat"):
                    index = earlier
                    break
            else:
                self.served[name] += 1
            if index >= len(turns):
                self.over += 1
                return name, self.exhausted
            turn = turns[index]
            if isinstance(turn, dict) and turn.get("expect"):
                problem = view.unmet(turn["expect"])
                if problem:
                    self.failures.append({"route": name, "turn": index, "problem": problem})
                    return name, {"error": {"status": 400, "type": "invalid_request_error",
                                            "message": f"fake_anthropic expect failed: {problem}"},
                                  "expect_failed": problem}
            return name, turn

    def state(self):
        with self.lock:
            return {"requests": self.requests, "asides": self.asides, "served": self.served,
                    "over": self.over, "failures": self.failures}


# ------------------------------------------------------------------ the server

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake-anthropic"
    script: Script
    log_path: str | None = None
    log_lock = threading.Lock()

    def log_message(self, *_):
        pass

    def record(self, entry):
        if not self.log_path:
            return
        with self.log_lock, open(self.log_path, "a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")

    def send_json(self, status, data, extra=None):
        payload = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.send_header("request-id", "req_" + uuid.uuid4().hex[:22])
        for key, value in (extra or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def do_GET(self):
        if self.path.startswith("/_fake/state"):
            return self.send_json(200, self.script.state())
        if self.path.startswith("/v1/models"):
            return self.send_json(200, {"data": [], "has_more": False})
        self.record({"at": time.time(), "method": self.command, "path": self.path})
        self.send_json(200 if self.path in ("/", "/api/hello") else 404, {})

    do_HEAD = do_GET

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            return self.send_json(400, {"type": "error", "error": {
                "type": "invalid_request_error", "message": "not JSON"}})
        path = self.path.split("?")[0]
        if path == "/_fake/script":
            self.script.load(body)
            return self.send_json(200, {})
        if path == "/_fake/reset":
            self.script.reset()
            return self.send_json(200, {})
        if path == "/v1/messages/count_tokens":
            return self.send_json(200, {"input_tokens": max(1, len(raw) // 4)})
        if path != "/v1/messages":
            self.record({"at": time.time(), "method": "POST", "path": self.path})
            return self.send_json(404, {"type": "error", "error": {
                "type": "not_found_error", "message": self.path}})

        view = View(body, {k.lower(): v for k, v in self.headers.items()})
        route, turn = self.script.choose(view)
        if isinstance(turn, str):
            turn = {"text": turn}
        self.record({"at": time.time(), "path": self.path, "route": route, "turn": turn,
                     "expect_failed": turn.get("expect_failed"), "model": view.model,
                     "stream": bool(body.get("stream")), "tools": view.tools,
                     "assistants": view.assistants,
                     "headers": {k: v for k, v in view.headers.items()
                                 if k not in ("x-api-key", "authorization")},
                     "body": body})
        time.sleep(turn.get("delay") or 0)
        if "error" in turn:
            error = turn["error"]
            return self.send_json(error.get("status", 500), {"type": "error", "error": {
                "type": error.get("type", "api_error"),
                "message": error.get("message", "scripted error")}}, error.get("headers"))
        message = build_message(turn, view)
        if not body.get("stream"):
            return self.send_json(200, message)
        self.stream(message, turn)

    def stream(self, message, turn):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("cache-control", "no-cache")
        self.send_header("request-id", "req_" + uuid.uuid4().hex[:22])
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for number, (name, data) in enumerate(sse_events(message, turn.get("chunk") or 24)):
                if turn.get("drop_after") is not None and number >= turn["drop_after"]:
                    self.close_connection = True
                    return
                payload = f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload))
                self.wfile.flush()
                time.sleep(turn.get("chunk_delay") or 0)
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def main():
    parser = argparse.ArgumentParser(description="Scripted fake of the Anthropic Messages API.")
    parser.add_argument("--script", help="JSON file of turns (see the module's docstring)")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--port-file", help="write the chosen port here once listening")
    parser.add_argument("--log", help="append every request to this JSONL file")
    parser.add_argument("--mode", choices=["count", "next"], default="count")
    parser.add_argument("--aside", default="ok", help="answer to requests that offer no tools")
    args = parser.parse_args()

    data = []
    if args.script:
        with open(args.script, encoding="utf-8") as source:
            data = json.load(source)
    Handler.script = Script(data, args.mode, args.aside)
    Handler.log_path = args.log
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    server.daemon_threads = True
    port = server.server_address[1]
    if args.port_file:
        with open(args.port_file + ".tmp", "w", encoding="utf-8") as out:
            out.write(str(port))
        os.replace(args.port_file + ".tmp", args.port_file)
    print(f"fake_anthropic on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
