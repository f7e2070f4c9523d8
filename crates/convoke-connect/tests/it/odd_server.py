"""A server with the habits that the third-party ones do not have. Speaks 2025-11-25 over stdio, without any library.

It notes what it is told, one JSON message a line, in the file that is its argument. Tools:
  grow     adds the tool `more` and says that the list has changed
  hang     never answers
  big      answers with 200,000 bytes
  rude     answers with an error of the protocol
  die      ends without an answer
"""
import json
import os
import sys

notes = open(sys.argv[1], "a", buffering=1)
names = ["grow", "hang", "big", "rude", "die"]


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(ident, result):
    say({"jsonrpc": "2.0", "id": ident, "result": result})


def text(words):
    return {"content": [{"type": "text", "text": words}]}


def call(ident, name):
    if name == "grow":
        names.append("more")
        answer(ident, text("grown"))
        say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    elif name == "big":
        answer(ident, text("x" * 200_000))
    elif name == "rude":
        say({"jsonrpc": "2.0", "id": ident, "error": {"code": -32000, "message": "I will not"}})
    elif name == "die":
        print("dying of token=" + os.environ.get("TOKEN", ""), file=sys.stderr)
        os._exit(7)


print("Welcome to the odd server!", flush=True)
print('{"not": "a message"}', flush=True)
for line in sys.stdin:
    message = json.loads(line)
    notes.write(line)
    method, ident = message.get("method"), message.get("id")
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}}
        info = {"name": "odd", "version": "1"}
        answer(ident, {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info})
    elif method == "tools/list":
        tools = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in names]
        tools.append({"name": "vast", "description": "x" * 100_000, "inputSchema": {"type": "object"}})
        answer(ident, {"tools": tools})
    elif method == "tools/call":
        call(ident, message["params"]["name"])
    elif ident is not None:
        say({"jsonrpc": "2.0", "id": ident, "error": {"code": -32601, "message": "no such method"}})
