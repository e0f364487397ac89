"""Claude Code's terminal UI on a scripted model, as a new user sees it: registers this program in a clean home, hands a
request in, answers the form that comes up, then a second decision through the prompt. Prints every screen.

    claude_ui.py PROGRAM CLAUDE      (Python packages: pexpect, pyte)

Fails where a screen that is waited for does not come. `doubles/anthropic.py` is the model: nothing leaves the machine.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pexpect
import pyte

PROGRAM, CLAUDE = (os.path.abspath(argument) for argument in sys.argv[1:3])
MODEL = pathlib.Path(__file__).resolve().parent.parent / "doubles" / "anthropic.py"
KEY = "sk-ant-test-0123456789abcdef"
SECONDS_MAX = float(os.environ.get("SECONDS_MAX", "60"))


def plan(question):
    return {
        "version": 1,
        "title": question,
        "tasks": [
            {"id": "ask", "title": "Ask", "kind": "decision", "question": question, "options": ["Yes", "No"]},
            {"id": "write", "title": "Write", "kind": "shell", "run": "echo hi > new.txt", "needs": ["ask"],
             "writes": ["new.txt"], "verify": [["test", "-f", "new.txt"]]},
        ],
    }


def hand_in(question):
    given = {"description": "write a file", "plan": plan(question)}
    return {"content": [{"text": "I hand it in."}, {"tool": "mcp__orchestrator__process_request", "input": given}]}


TURNS = [hand_in("Write the file?"), "It runs in the background.", "The first is over.", hand_in("Once more?"),
         "It runs, too.", "One question waits: D-2.",
         # What the prompt has the model record; a form needs no model.
         {"tool": "mcp__orchestrator__submit_decision",
          "input": {"decision_id": "D-2", "response": {"choice": "yes"}}},
         "It is recorded.", "The second is over.", "ok", "ok", "ok"]

root = pathlib.Path(tempfile.mkdtemp())
for folder in ("home", "state", "run", "config", "repo", "bin"):
    (root / folder).mkdir(mode=0o700)
(root / "bin" / "orchestrator").symlink_to(PROGRAM)
repo = str(root / "repo")
git = ["git", "-C", repo, "-c", "user.name=t", "-c", "user.email=t@t"]
subprocess.run([*git, "init", "-q"], check=True)
subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
environment = {
    "PATH": f"{root}/bin:{os.environ['PATH']}", "LANG": "C.UTF-8", "TERM": "xterm-256color", "HOME": f"{root}/home",
    "XDG_STATE_HOME": f"{root}/state", "XDG_RUNTIME_DIR": f"{root}/run", "XDG_CONFIG_HOME": f"{root}/config",
}


def say(*arguments):
    done = subprocess.run(["orchestrator", *arguments], env=environment, cwd=repo, capture_output=True, text=True)
    print(f"$ orchestrator {' '.join(arguments)}\n{done.stdout}{done.stderr}", flush=True)
    return done.stdout


(root / "turns").write_text(json.dumps(TURNS))
model = subprocess.Popen([sys.executable, MODEL, "--script", root / "turns", "--port", "0", "--port-file",
                          root / "port", "--log", root / "log"])
screen = pyte.Screen(110, 40)
stream = pyte.Stream(screen)
claude = None


def pump(seconds):
    end = time.time() + seconds
    while time.time() < end:
        try:
            stream.feed(claude.read_nonblocking(65536, 0.1))
        except pexpect.TIMEOUT:
            pass


def show(title):
    print(f"===== {title}")
    print("\n".join(line.rstrip() for line in screen.display if line.strip()), flush=True)


def until(*words):
    end = time.time() + SECONDS_MAX
    while time.time() < end:
        pump(0.3)
        shown = "\n".join(screen.display)
        if all(word in shown for word in words):
            pump(0.5)
            return show(f"there is: {' '.join(words)}")
    show("what there is instead")
    sys.exit(f"after {SECONDS_MAX} s the screen does not say {words}")


def type_in(text):
    claude.send(text)
    pump(1.5)
    show(f"typed: {text}")
    claude.send("\r")


try:
    while not (root / "port").exists() or not (root / "port").read_text():
        time.sleep(0.05)
    (root / "home" / ".claude.json").write_text(json.dumps({
        "hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": {"approved": [KEY[-20:]]},
        "projects": {repo: {"hasTrustDialogAccepted": True}}}))
    say("setup", "claude-code")
    environment_of_claude = dict(
        environment, ANTHROPIC_BASE_URL=f"http://127.0.0.1:{(root / 'port').read_text().strip()}",
        ANTHROPIC_API_KEY=KEY, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1")
    claude = pexpect.spawn(CLAUDE, [], env=environment_of_claude, cwd=repo, dimensions=(40, 110), encoding="utf-8")
    until("Claude Code")
    type_in("orchestrate: write a file")
    until("Write the file?", "Accept")
    # The form: open its one field and take the first choice; then Accept is where the focus is.
    for key in ("\x1b[C", "\r", "\r"):
        claude.send(key)
        pump(1)
        show(f"key {key!r}")
    until("The first is over")
    type_in("orchestrate: once more")
    until("Once more?", "Accept")
    claude.send("\x1b")
    pump(1)
    show("key Esc: the form is left for later")
    type_in("/mcp__orchestrator__inbox")
    until("One question waits")
    type_in("/mcp__orchestrator__decide D-2 yes")
    end = time.time() + SECONDS_MAX
    while "completed" not in say("status", "R-2"):
        pump(1)
        if time.time() > end:
            show("after decide")
            sys.exit("R-2 did not complete")
    show("the second is over")
    for decision in ("D-1", "D-2"):
        say("why", decision)
        by = json.loads(say("why", decision, "--json"))["decision"]["answer"]["by"]
        if by["kind"] != "person":
            sys.exit(f"{decision} is not recorded as a person's answer: {by}")
finally:
    if claude:
        claude.close(force=True)
    model.terminate()
    say("daemon", "stop")
