#!/usr/bin/env python3
"""A scripted ACP (v1) agent on stdio, for offline tests of an ACP client.

It needs no model and no network: it plays JSON steps, so a test can make it plan, edit files, ask for
permission, crash, hang, flood or talk garbage at an exact moment.

Usage   python3 acp.py --script script.json [--log wire.jsonl] [--state state.json]
        --state keeps sessions across restarts, so session/load and session/resume can be tested.

Script  {"prompts": [ [STEP, ...], [STEP, ...] ],   one list per session/prompt, the last repeats
         "capabilities": {...}, "modes": {...}, "new_delay_s": 0,
         "initialize": {...} (the whole answer), "new_error": [code, "message", {data}], "load_error": [...],
         "set_mode": "works" (and says so by an update) | "quiet" | "lies" (says ok, then says "auto") | "fails",
         "stays": true (goes on living when its input ends)}
STEP (exactly one of)
  {"say": "text"} | {"think": "text"}
  {"plan": [["content", "pending|in_progress|completed"], ...]}
  {"tool": "title", "kind": "execute", "id": "t1", "status": "in_progress", "raw": {...}}   tool_call
  {"tool_done": "t1", "status": "completed|failed", "text": "..."}                         tool_call_update
  {"ask": "title", "id": "t1", "kind": "execute", "raw": {...}, "options": [["id","name","kind"], ...],
   "then": {"allow_once": [STEP..], "reject_once": [STEP..], "cancelled": [STEP..]}}        request_permission
  {"write": "rel/path", "text": "..."}      direct write below the session's cwd
  {"fs_write": "rel/path", "text": "..."}   through the client (fs/write_text_file)
  {"sh": "command"}                         run in the session's cwd, own session (setsid), output ignored
  {"usage": {"used": 1, "size": 10, "cost": 0.5}}
  {"sleep_s": 1.5}      interruptible by session/cancel (the prompt then ends "cancelled")
  {"deaf_s": 5}         the same but ignoring session/cancel
  {"flood": 1000, "bytes": 1000}   that many message chunks as fast as possible
  {"garbage": "text"}   a line that is not JSON-RPC on stdout      {"stderr": "text"}
  {"exit": 3}           exit at once                               {"stop": "max_tokens"}  end the prompt so
  {"crash_asking": "title", "raw": {...}}     ask, and exit with status 9 before an answer can come
  {"wait_file": "path"}  until that file is there; interruptible by session/cancel
  {"update": {...}}     any session/update    {"notify": "method", "params": {...}}    any notification
  {"request": "method", "params": {...}}      any request to the client; its answer is said
  {"error": [-32000, "message"]}   answer the prompt with a JSON-RPC error
  {"env": "NAME"}       say NAME's value
"""
import argparse, json, os, subprocess, sys, threading, time, uuid

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--script", required=True)
ap.add_argument("--log")
ap.add_argument("--state")
A = ap.parse_args()
S = json.load(open(A.script))
OUT, LOCK = threading.Lock(), threading.Condition()
ANSWERS, NEXT, SESS = {}, [0], {}
if A.state and os.path.exists(A.state):
    SESS = json.load(open(A.state))


class Cancelled(Exception):
    pass


def save():
    if A.state:
        with open(A.state + ".tmp", "w") as f:
            json.dump({k: {x: v[x] for x in ("cwd", "n", "said")} for k, v in SESS.items()}, f)
        os.replace(A.state + ".tmp", A.state)


def raw(line):
    with OUT:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def send(o):
    o = {"jsonrpc": "2.0", **o}
    if A.log:
        with open(A.log, "a") as f:
            f.write(json.dumps({"out": o}) + "\n")
    raw(json.dumps(o))


def update(sid, **u):
    send({"method": "session/update", "params": {"sessionId": sid, "update": u}})


def call(sid, method, params):
    with LOCK:
        NEXT[0] += 1
        i = "f%d" % NEXT[0]
    send({"id": i, "method": method, "params": params})
    with LOCK:
        while i not in ANSWERS:
            if SESS[sid].get("cancel"):
                raise Cancelled
            LOCK.wait(0.05)
        return ANSWERS.pop(i)


def play(sid, steps):
    s = SESS[sid]
    for st in steps:
        if s.get("cancel") and "deaf_s" not in st:
            raise Cancelled
        if "say" in st or "env" in st:
            t = st.get("say") if "say" in st else str(os.environ.get(st["env"]))
            s["said"].append(t)
            update(sid, sessionUpdate="agent_message_chunk", content={"type": "text", "text": t})
        elif "think" in st:
            update(sid, sessionUpdate="agent_thought_chunk", content={"type": "text", "text": st["think"]})
        elif "plan" in st:
            update(sid, sessionUpdate="plan", entries=[{"content": c, "status": x, "priority": "medium"} for c, x in st["plan"]])
        elif "tool" in st:
            update(sid, sessionUpdate="tool_call", toolCallId=st["id"], title=st["tool"], kind=st.get("kind", "other"),
                   status=st.get("status", "pending"), rawInput=st.get("raw", {}))
        elif "tool_done" in st:
            update(sid, sessionUpdate="tool_call_update", toolCallId=st["tool_done"], status=st.get("status", "completed"),
                   content=[{"type": "content", "content": {"type": "text", "text": st.get("text", "")}}])
        elif "ask" in st:
            opts = st.get("options") or [["allow", "Allow", "allow_once"], ["always", "Always", "allow_always"],
                                         ["no", "Reject", "reject_once"]]
            r = call(sid, "session/request_permission", {
                "sessionId": sid, "options": [{"optionId": a, "name": b, "kind": k} for a, b, k in opts],
                "toolCall": {"toolCallId": st.get("id", "ask"), "title": st["ask"], "kind": st.get("kind", "execute"),
                             "status": "pending", "rawInput": st.get("raw", {})}})
            o = (r.get("result") or {}).get("outcome") or {"outcome": "cancelled"}
            kind = {a: k for a, b, k in opts}.get(o.get("optionId"), "cancelled")
            then = st.get("then", {})
            play(sid, then.get(kind) or then.get(kind.replace("_always", "_once")) or [])
        elif "write" in st:
            p = os.path.join(s["cwd"], st["write"])
            os.makedirs(os.path.dirname(p), exist_ok=True)
            open(p, "w").write(st["text"])
        elif "fs_write" in st:
            call(sid, "fs/write_text_file", {"sessionId": sid, "path": os.path.join(s["cwd"], st["fs_write"]), "content": st["text"]})
        elif "sh" in st:
            subprocess.run(st["sh"], shell=True, cwd=s["cwd"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, start_new_session=True)
        elif "usage" in st:
            u = st["usage"]
            update(sid, sessionUpdate="usage_update", used=u.get("used", 0), size=u.get("size", 200000),
                   **({"cost": {"amount": u["cost"], "currency": "USD"}} if "cost" in u else {}))
        elif "sleep_s" in st or "deaf_s" in st:
            end = time.time() + st.get("sleep_s", st.get("deaf_s"))
            while time.time() < end:
                if "sleep_s" in st and s.get("cancel"):
                    raise Cancelled
                time.sleep(0.02)
        elif "flood" in st:
            for _ in range(st["flood"]):
                update(sid, sessionUpdate="agent_message_chunk", content={"type": "text", "text": "x" * st.get("bytes", 100)})
        elif "garbage" in st:
            raw(st["garbage"])
        elif "stderr" in st:
            print(st["stderr"], file=sys.stderr, flush=True)
        elif "crash_asking" in st:
            save()
            send({"id": "last", "method": "session/request_permission", "params": {
                "sessionId": sid, "options": [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}],
                "toolCall": {"toolCallId": "last", "title": st["crash_asking"], "kind": "execute", "rawInput": st.get("raw", {})}}})
            os._exit(9)
        elif "wait_file" in st:
            while not os.path.exists(st["wait_file"]):
                if s.get("cancel"):
                    raise Cancelled
                time.sleep(0.02)
        elif "update" in st:
            update(sid, **st["update"])
        elif "notify" in st:
            send({"method": st["notify"], "params": st.get("params", {})})
        elif "request" in st:
            r = call(sid, st["request"], {"sessionId": sid, **st.get("params", {})})
            t = "answer to %s: %s" % (st["request"], json.dumps(r.get("error") or r.get("result")))
            s["said"].append(t)
            update(sid, sessionUpdate="agent_message_chunk", content={"type": "text", "text": t + "\n"})
        elif "exit" in st:
            save()
            os._exit(st["exit"])
        elif "stop" in st:
            return st["stop"]
        elif "error" in st:
            return st["error"]
    return "end_turn"


def prompt(i, sid):
    s = SESS[sid]
    s["cancel"] = False
    lists = S.get("prompts") or [[]]
    steps = lists[min(s["n"], len(lists) - 1)]
    s["n"] += 1
    save()
    try:
        r = play(sid, steps)
    except Cancelled:
        r = "cancelled"
    save()
    if isinstance(r, list):
        send({"id": i, "error": dict(zip(("code", "message", "data"), r))})
    else:
        send({"id": i, "result": {"stopReason": r}})


def main():
    for line in sys.stdin:
        try:
            o = json.loads(line)
        except ValueError:
            continue
        if A.log:
            with open(A.log, "a") as f:
                f.write(json.dumps({"in": o}) + "\n")
        m, i, p = o.get("method"), o.get("id"), o.get("params") or {}
        sid = p.get("sessionId")
        if m is None:
            with LOCK:
                ANSWERS[i] = o
                LOCK.notify_all()
        elif m == "initialize" and "initialize" in S:
            send({"id": i, "result": S["initialize"]})
        elif m == "session/new" and "new_error" in S:
            send({"id": i, "error": dict(zip(("code", "message", "data"), S["new_error"]))})
        elif m in ("session/load", "session/resume") and "load_error" in S:
            send({"id": i, "error": dict(zip(("code", "message", "data"), S["load_error"]))})
        elif m == "session/set_mode" and S.get("set_mode") == "fails":
            send({"id": i, "error": {"code": -32602, "message": "no such mode"}})
        elif m == "session/set_mode" and S.get("set_mode", "works") != "quiet":
            mode = p["modeId"] if S.get("set_mode") != "lies" else "auto"
            send({"id": i, "result": {}} if S.get("set_mode") == "lies" else
                 {"method": "session/update", "params": {"sessionId": sid, "update": {"sessionUpdate": "current_mode_update", "currentModeId": mode}}})
            send({"method": "session/update", "params": {"sessionId": sid, "update": {"sessionUpdate": "current_mode_update", "currentModeId": mode}}}
                 if S.get("set_mode") == "lies" else {"id": i, "result": {}})
        elif m == "initialize":
            send({"id": i, "result": {"protocolVersion": 1, "agentInfo": {"name": "fake-acp", "version": "1"}, "authMethods": [],
                                      "agentCapabilities": {"loadSession": True, "mcpCapabilities": {"http": True},
                                                            "sessionCapabilities": {"resume": {}, "close": {}, "list": {}},
                                                            **S.get("capabilities", {})}}})
        elif m == "session/new":
            time.sleep(S.get("new_delay_s", 0))
            sid = "fake-" + uuid.uuid4().hex[:8]
            SESS[sid] = {"cwd": p["cwd"], "n": 0, "said": []}
            save()
            send({"id": i, "result": {"sessionId": sid, **({"modes": S["modes"]} if "modes" in S else {})}})
        elif m in ("session/load", "session/resume"):
            if sid not in SESS:
                send({"id": i, "error": {"code": -32002, "message": "no such session"}})
                continue
            SESS[sid]["cwd"] = p.get("cwd", SESS[sid]["cwd"])
            if m == "session/load":
                for t in SESS[sid]["said"]:
                    update(sid, sessionUpdate="agent_message_chunk", content={"type": "text", "text": t})
            send({"id": i, "result": {"modes": S["modes"]} if "modes" in S else {}})
        elif m == "session/prompt":
            if sid not in SESS:
                send({"id": i, "error": {"code": -32002, "message": "no such session"}})
            else:
                threading.Thread(target=prompt, args=(i, sid), daemon=True).start()
        elif m == "session/cancel":
            if sid in SESS:
                SESS[sid]["cancel"] = True
        elif m == "session/list":
            send({"id": i, "result": {"sessions": [{"sessionId": k, "cwd": v["cwd"]} for k, v in SESS.items()]}})
        elif i is not None:
            send({"id": i, "result": {}} if m in ("session/set_mode", "session/close", "authenticate", "session/set_config_option")
                 else {"id": i, "error": {"code": -32601, "message": "no method " + m}})


main()
while S.get("stays"):
    time.sleep(1)
