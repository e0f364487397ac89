#!/usr/bin/env python3
"""A scripted stand-in for model endpoints, for offline tests of real coding agents.

One process speaks three wire dialects on one loopback port, all driven by the same JSON script:

  * OpenAI Responses        POST */responses                      (codex, opencode via @ai-sdk/openai, goose)
  * OpenAI Chat Completions POST */chat/completions               (opencode/goose/aider "openai-compatible")
  * Gemini generateContent  POST */models/<m>:(stream)generateContent   (gemini-cli)
  * GET */models            a one-entry model list

Usage
  python3 openai.py --script script.json [--port 0] [--port-file F] [--log requests.jsonl]
  The port chosen is printed as "PORT <n>" on stdout (and to --port-file).

Script: {"model": "fake-1", "steps": [STEP, ...], "otherwise": STEP}
  For every model request the first STEP that still has uses left and whose "when" matches is played.
  STEP
    when     {"contains": s}        substring of the whole request body
             {"last_user": s}       substring of the last user message text
             {"last_output": s}     substring of the last tool output sent back
             {"no_output": true}    no tool output in the conversation yet
             {"tool": name}         the request offers a tool of that name
             (all given keys must hold; no "when" = always)
    uses     how often the step may be played (default 1; 0 = for ever)
    delay_s  wait before answering (hang a model call; use a big number)
    status   answer with this HTTP status and {"error": body}; "headers": {..} are added
             (e.g. 429 + {"retry-after": "1"})
    say      list of parts, streamed in order:
             {"text": "..."}                           assistant text
             {"reasoning": "..."}                      reasoning summary (Responses only)
             {"call": name, "args": {...}}             function call  (args may be a string)
             {"custom": name, "input": "..."}          free-form tool call (Responses only, e.g. apply_patch)
             {"sleep_s": 0.2}                          pause inside the stream
             {"cut": true}                             drop the connection without finishing
    usage    {"input": 100, "cached": 0, "output": 10}
    id       label written to the log
  Strings in args may use ${key}; keys come from --var key=value.

Log (--log): one JSON object per request: n, t, path, step, tools (names), last_user, last_output, body (with --log-body).
"""
import argparse, json, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

A = None
LOCK = threading.Lock()
STATE = {"n": 0, "left": []}


def subst(x):
    if isinstance(x, str):
        for k, v in A.vars.items():
            x = x.replace("${" + k + "}", v)
        return x
    if isinstance(x, list):
        return [subst(i) for i in x]
    if isinstance(x, dict):
        return {k: subst(v) for k, v in x.items()}
    return x


def text_of(c):
    """Plain text of any of the dialects' content values."""
    if c is None:
        return ""
    if isinstance(c, str):
        return c
    if isinstance(c, list):
        return "".join(text_of(p) for p in c)
    if isinstance(c, dict):
        for k in ("text", "output", "content", "refusal"):
            if k in c:
                return text_of(c[k])
        return json.dumps(c)
    return str(c)


def digest(path, body):
    """(tool names, last user text, last tool output) for whichever dialect the body is in."""
    tools, user, out = [], "", None
    for t in body.get("tools") or []:
        if "functionDeclarations" in t:
            tools += [f.get("name") for f in t["functionDeclarations"]]
        else:
            tools.append(t.get("name") or (t.get("function") or {}).get("name") or t.get("type"))
    items = body.get("input")
    if isinstance(items, str):
        user = items
    for it in items if isinstance(items, list) else []:
        if it.get("type", "message") == "message" and it.get("role") == "user":
            user, out = text_of(it.get("content")), None
        elif it.get("type", "").endswith("_call_output"):
            out = text_of(it.get("output"))
    for m in body.get("messages") or []:
        if m.get("role") == "user":
            user, out = text_of(m.get("content")), None
        elif m.get("role") == "tool":
            out = text_of(m.get("content"))
    for c in body.get("contents") or []:
        for p in c.get("parts") or []:
            if "functionResponse" in p:
                out = json.dumps(p["functionResponse"].get("response"))
            elif c.get("role") == "user" and "text" in p:
                user, out = p["text"], None
    return [t for t in tools if t], user, out


def holds(w, raw, tools, user, out):
    return (("contains" not in w or w["contains"] in raw)
            and ("last_user" not in w or w["last_user"] in user)
            and ("last_output" not in w or (out is not None and w["last_output"] in out))
            and (not w.get("no_output") or out is None)
            and ("tool" not in w or w["tool"] in tools))


def pick(raw, tools, user, out):
    with LOCK:
        for i, st in enumerate(A.steps):
            if STATE["left"][i] == 0 or not holds(st.get("when") or {}, raw, tools, user, out):
                continue
            if STATE["left"][i] > 0:
                STATE["left"][i] -= 1
            return st, st.get("id", i)
    return A.otherwise, "otherwise"


class Cut(Exception):
    pass


class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def send_json(self, code, obj, headers=None):
        b = json.dumps(obj).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(b)))
        for k, v in (headers or {}).items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(b)

    def start_sse(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def sse(self, obj, event=None):
        s = ("event: %s\n" % event if event else "") + "data: " + (obj if isinstance(obj, str) else json.dumps(obj)) + "\n\n"
        self.wfile.write(s.encode())
        self.wfile.flush()

    def do_GET(self):
        if self.path.split("?")[0].endswith("/models"):
            return self.send_json(200, {"object": "list", "data": [{"id": A.model, "object": "model", "owned_by": "fake"}]})
        self.send_json(404, {"error": {"message": "no such path " + self.path}})

    def do_POST(self):
        te = self.headers.get("transfer-encoding", "")
        if "chunked" in te:
            data = b""
            while True:
                n = int(self.rfile.readline().strip() or b"0", 16)
                if n == 0:
                    self.rfile.readline()
                    break
                data += self.rfile.read(n)
                self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
        raw = data.decode("utf-8", "replace")
        try:
            body = json.loads(raw or "{}")
        except ValueError:
            return self.send_json(400, {"error": {"message": "fake: request is not JSON (compressed?)",
                                                  "encoding": self.headers.get("content-encoding")}})
        path = self.path.split("?")[0]
        if path.endswith(":countTokens"):
            return self.send_json(200, {"totalTokens": len(raw) // 4})
        kind = ("responses" if path.endswith("/responses") else "chat" if path.endswith("/chat/completions")
                else "gemini" if "enerateContent" in path else None)
        tools, user, out = digest(path, body)
        st, label = pick(raw, tools, user, out) if kind else (None, "unknown path")
        with LOCK:
            STATE["n"] += 1
            n = STATE["n"]
            if A.log:
                rec = {"n": n, "t": round(time.time(), 3), "path": self.path, "step": label, "tools": tools,
                       "last_user": user[:400], "last_output": None if out is None else out[:2000]}
                if A.log_body:
                    rec["body"] = body
                with open(A.log, "a") as f:
                    f.write(json.dumps(rec) + "\n")
        if kind is None:
            return self.send_json(404, {"error": {"message": "no such path " + self.path}})
        st = subst(st)
        if st.get("delay_s"):
            time.sleep(st["delay_s"])
        if st.get("status"):
            return self.send_json(st["status"], st.get("body") or {"error": {"message": "scripted error", "type": "fake"}},
                                  st.get("headers"))
        u = {"input": 100, "cached": 0, "output": 10, **(st.get("usage") or {})}
        try:
            getattr(self, "play_" + kind)(st.get("say") or [], u, body, path)
        except Cut:
            self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def pace(self, p):
        if p.get("sleep_s"):
            time.sleep(p["sleep_s"])
        if p.get("cut"):
            raise Cut

    # ---- Responses -------------------------------------------------------------------------------
    def play_responses(self, say, u, body, path):
        rid = "resp_" + uuid.uuid4().hex[:16]
        items = []
        stream = body.get("stream", False)
        if stream:
            self.start_sse()
            seq = [0]

            def ev(t, **kw):
                self.sse({"type": t, "sequence_number": seq[0], **kw}, t)
                seq[0] += 1
            ev("response.created", response={"id": rid, "object": "response", "status": "in_progress", "model": A.model, "output": []})
        else:
            def ev(t, **kw):
                pass
        for p in say:
            self.pace(p)
            i = len(items)
            hid = uuid.uuid4().hex[:12]
            if "text" in p:
                it = {"type": "message", "id": "msg_" + hid, "role": "assistant", "status": "completed",
                      "content": [{"type": "output_text", "text": p["text"], "annotations": []}]}
                ev("response.output_item.added", output_index=i, item={**it, "status": "in_progress", "content": []})
                ev("response.content_part.added", output_index=i, content_index=0, item_id=it["id"],
                   part={"type": "output_text", "text": "", "annotations": []})
                ev("response.output_text.delta", output_index=i, content_index=0, item_id=it["id"], delta=p["text"])
                ev("response.output_text.done", output_index=i, content_index=0, item_id=it["id"], text=p["text"])
                ev("response.content_part.done", output_index=i, content_index=0, item_id=it["id"], part=it["content"][0])
            elif "reasoning" in p:
                it = {"type": "reasoning", "id": "rs_" + hid, "summary": [{"type": "summary_text", "text": p["reasoning"]}]}
                ev("response.output_item.added", output_index=i, item={**it, "summary": []})
            elif "call" in p:
                args = p.get("args", {})
                args = args if isinstance(args, str) else json.dumps(args)
                it = {"type": "function_call", "id": "fc_" + hid, "call_id": "call_" + hid, "name": p["call"],
                      "arguments": args, "status": "completed"}
                if p.get("namespace"):
                    it["namespace"] = p["namespace"]
                ev("response.output_item.added", output_index=i, item={**it, "arguments": "", "status": "in_progress"})
                ev("response.function_call_arguments.delta", output_index=i, item_id=it["id"], delta=args)
                ev("response.function_call_arguments.done", output_index=i, item_id=it["id"], arguments=args)
            elif "custom" in p:
                it = {"type": "custom_tool_call", "id": "ctc_" + hid, "call_id": "call_" + hid, "name": p["custom"],
                      "input": p["input"], "status": "completed"}
                ev("response.output_item.added", output_index=i, item={**it, "input": ""})
            else:
                continue
            ev("response.output_item.done", output_index=i, item=it)
            items.append(it)
        done = {"id": rid, "object": "response", "created_at": int(time.time()), "status": "completed", "model": A.model,
                "output": items,
                "usage": {"input_tokens": u["input"], "input_tokens_details": {"cached_tokens": u["cached"]},
                          "output_tokens": u["output"], "output_tokens_details": {"reasoning_tokens": 0},
                          "total_tokens": u["input"] + u["output"]}}
        if stream:
            ev("response.completed", response=done)
        else:
            self.send_json(200, done)

    # ---- Chat Completions ------------------------------------------------------------------------
    def play_chat(self, say, u, body, path):
        cid = "chatcmpl-" + uuid.uuid4().hex[:12]
        base = {"id": cid, "created": int(time.time()), "model": A.model}
        usage = {"prompt_tokens": u["input"], "completion_tokens": u["output"], "total_tokens": u["input"] + u["output"],
                 "prompt_tokens_details": {"cached_tokens": u["cached"]}}
        calls, text = [], ""
        stream = body.get("stream", False)
        if stream:
            self.start_sse()
            self.sse({**base, "object": "chat.completion.chunk",
                      "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        for p in say:
            self.pace(p)
            d = None
            if "text" in p:
                text += p["text"]
                d = {"content": p["text"]}
            elif "call" in p:
                args = p.get("args", {})
                c = {"index": len(calls), "id": "call_" + uuid.uuid4().hex[:12], "type": "function",
                     "function": {"name": p["call"], "arguments": args if isinstance(args, str) else json.dumps(args)}}
                calls.append(c)
                d = {"tool_calls": [c]}
            if d and stream:
                self.sse({**base, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": d, "finish_reason": None}]})
        fin = "tool_calls" if calls else "stop"
        if stream:
            self.sse({**base, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": fin}]})
            self.sse({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            self.sse("[DONE]")
        else:
            msg = {"role": "assistant", "content": text or None}
            if calls:
                msg["tool_calls"] = [{k: v for k, v in c.items() if k != "index"} for c in calls]
            self.send_json(200, {**base, "object": "chat.completion", "usage": usage,
                                 "choices": [{"index": 0, "message": msg, "finish_reason": fin}]})

    # ---- Gemini ----------------------------------------------------------------------------------
    def play_gemini(self, say, u, body, path):
        usage = {"promptTokenCount": u["input"], "candidatesTokenCount": u["output"],
                 "cachedContentTokenCount": u["cached"], "totalTokenCount": u["input"] + u["output"]}
        parts = []
        stream = "streamGenerateContent" in path
        if stream:
            self.start_sse()
        for p in say:
            self.pace(p)
            if "text" in p:
                part = {"text": p["text"]}
            elif "call" in p:
                part = {"functionCall": {"name": p["call"], "args": p.get("args", {})}}
            else:
                continue
            parts.append(part)
            if stream:
                self.sse({"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}], "modelVersion": A.model})
        end = {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": ""}] if stream else parts}}],
               "usageMetadata": usage, "modelVersion": A.model}
        if stream:
            self.sse(end)
        else:
            self.send_json(200, end)


def main():
    global A
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--script", required=True)
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--port-file")
    ap.add_argument("--log")
    ap.add_argument("--log-body", action="store_true")
    ap.add_argument("--var", action="append", default=[])
    A = ap.parse_args()
    sc = json.load(open(A.script))
    A.vars = dict(v.split("=", 1) for v in A.var)
    A.model = sc.get("model", "fake-1")
    A.steps = sc.get("steps", [])
    A.otherwise = sc.get("otherwise", {"say": [{"text": "(script exhausted)"}]})
    STATE["left"] = [(-1 if s.get("uses", 1) == 0 else s.get("uses", 1)) for s in A.steps]
    srv = ThreadingHTTPServer(("127.0.0.1", A.port), H)
    srv.daemon_threads = True
    if A.port_file:
        open(A.port_file, "w").write(str(srv.server_port))
    print("PORT", srv.server_port, flush=True)
    srv.serve_forever()


if __name__ == "__main__":
    main()
