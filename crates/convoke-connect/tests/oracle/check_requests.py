"""Judges recorded requests by types that the vendors wrote, and the mock by clients that the vendors wrote.

Reads a JSON list of {path, headers, body} from standard input. OpenAI's and Anthropic's Python SDKs describe request bodies
as TypedDicts, Google's as pydantic models; each body is checked against its vendor's type with unknown fields forbidden.
With --probe URL the vendors' own clients also parse the mock's streamed answers: if they cannot, the mock is broken and
nothing that was tested against it counts.

Exit code 0 and "N requests fit", or 1 and a list of objections.
"""

import collections.abc
import json
import sys
import typing

import pydantic
import typing_extensions
from typing_extensions import NotRequired, Required, TypedDict, is_typeddict


class Strict:
    """Rebuilds TypedDicts so that pydantic checks all of them: lazy Iterables as lists, unknown fields forbidden."""

    def __init__(self):
        self.done = {}

    def of(self, kind):
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if is_typeddict(kind):
            return self.typed_dict(kind)
        if origin in (collections.abc.Iterable, collections.abc.Sequence):
            return typing.List[self.of(args[0])]
        if origin is typing.Union or type(kind).__name__ == "UnionType":
            return typing.Union[tuple(self.of(arg) for arg in args)]
        if origin in (list, typing.List):
            return typing.List[self.of(args[0])]
        if origin is dict:
            return typing.Dict[args[0], self.of(args[1])]
        if origin is typing.Annotated:
            return self.of(args[0])
        if getattr(kind, "__name__", "") == "SequenceNotStr" or getattr(origin, "__name__", "") == "SequenceNotStr":
            return typing.List[self.of(args[0])]
        return kind

    def typed_dict(self, kind):
        if kind in self.done:
            return self.done[kind]
        # A type that holds itself is checked as the SDK wrote it from the second level on.
        self.done[kind] = kind
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
        fields = {}
        for name, hint in hints.items():
            # Not __required_keys__: the SDKs' annotations are strings, which hide Required from it.
            marker = typing_extensions.get_origin(hint)
            if marker in (Required, NotRequired):
                hint = typing_extensions.get_args(hint)[0]
            fields[name] = (Required if marker is Required else NotRequired)[self.of(hint)]
        made = TypedDict(kind.__name__, fields, total=False)
        made.__pydantic_config__ = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        self.done[kind] = made
        return made


def chat():
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    return pydantic.TypeAdapter(Strict().of(CompletionCreateParamsStreaming))


def responses():
    from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

    return pydantic.TypeAdapter(Strict().of(ResponseCreateParamsStreaming))


def messages():
    from anthropic.types.message_create_params import MessageCreateParamsStreaming

    return pydantic.TypeAdapter(Strict().of(MessageCreateParamsStreaming))


def gemini():
    from google.genai import types

    class Body(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        contents: typing.List[types.Content]
        systemInstruction: typing.Optional[types.Content] = None
        tools: typing.List[types.Tool] = []
        generationConfig: types.GenerationConfig

    return pydantic.TypeAdapter(Body)


def format_of(path):
    if path.endswith("/chat/completions"):
        return "chat"
    if path.endswith("/responses"):
        return "responses"
    if path.endswith("/v1/messages"):
        return "messages"
    if ":streamGenerateContent?alt=sse" in path:
        return "gemini"
    raise SystemExit(f"no vendor has the path {path}")


WANTED_HEADERS = {
    "chat": ["authorization"],
    "responses": ["authorization"],
    "messages": ["x-api-key", "anthropic-version"],
    "gemini": ["x-goog-api-key"],
}


def pairing(kind, body):
    """What the types cannot say: every tool result answers a call made before it, and every call is answered."""
    made, answered = [], []
    if kind == "chat":
        for message in body["messages"]:
            made += [call["id"] for call in message.get("tool_calls", [])]
            answered += [message["tool_call_id"]] if message["role"] == "tool" else []
    elif kind == "responses":
        made = [item["call_id"] for item in body["input"] if item.get("type") == "function_call"]
        answered = [item["call_id"] for item in body["input"] if item.get("type") == "function_call_output"]
    elif kind == "messages":
        for message in body["messages"]:
            made += [part["id"] for part in message["content"] if part["type"] == "tool_use"]
            answered += [part["tool_use_id"] for part in message["content"] if part["type"] == "tool_result"]
    else:
        parts = [part for content in body["contents"] for part in content["parts"]]
        made = [part["functionCall"]["id"] for part in parts if "functionCall" in part]
        answered = [part["functionResponse"]["id"] for part in parts if "functionResponse" in part]
    return [] if made == answered else [f"calls {made} are answered by {answered}"]


def self_test(adapters):
    """An oracle that cannot object is none: each adapter must refuse these."""
    wrong = {
        "chat": {"model": "m", "stream": True, "messages": [{"role": "tool", "content": "x"}]},
        "responses": {"model": "m", "stream": True, "input": [{"type": "function_call", "name": "x"}]},
        "messages": {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]},
        "gemini": {"contents": [{"role": "user", "parts": [{"txt": "x"}]}], "generationConfig": {}},
    }
    for kind, body in wrong.items():
        try:
            adapters[kind].validate_python(body)
        except pydantic.ValidationError:
            continue
        raise SystemExit(f"the oracle for {kind} lets {body} pass")


def check(requests):
    adapters = {"chat": chat(), "responses": responses(), "messages": messages(), "gemini": gemini()}
    self_test(adapters)
    objections = []
    for request in requests:
        kind = format_of(request["path"])
        names = [name for name, _ in request["headers"]]
        for name in WANTED_HEADERS[kind] + ["content-type"]:
            if name not in names:
                objections.append(f"{request['path']}: no header {name}")
        try:
            adapters[kind].validate_python(request["body"])
        except pydantic.ValidationError as error:
            objections.append(f"{request['path']}: {error}\n{json.dumps(request['body'])[:2000]}")
        objections += [f"{request['path']}: {flaw}" for flaw in pairing(kind, request["body"])]
    return objections


def probe(url):
    """The vendors' clients read the mock's streams: text and two calls in each format."""
    import anthropic
    import openai
    from google import genai

    key = "sk-probe"
    ask = [{"role": "user", "content": "say hello"}]
    both = [{"role": "user", "content": "do both"}]
    found = {}

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)
    with client.chat.completions.stream(model="gpt-5", messages=ask) as stream:
        found["chat text"] = stream.get_final_completion().choices[0].message.content
    with client.chat.completions.stream(model="gpt-5", messages=both) as stream:
        found["chat calls"] = len(stream.get_final_completion().choices[0].message.tool_calls)
    with client.responses.stream(model="gpt-5", input=ask) as stream:
        found["responses text"] = stream.get_final_response().output_text
    with client.responses.stream(model="gpt-5", input=both) as stream:
        output = stream.get_final_response().output
        found["responses calls"] = len([item for item in output if item.type == "function_call"])

    claude = anthropic.Anthropic(base_url=url, api_key=key)
    settings = {"model": "claude-sonnet-5", "max_tokens": 100}
    with claude.messages.stream(messages=ask, **settings) as stream:
        found["messages text"] = stream.get_final_text()
    with claude.messages.stream(messages=both, **settings) as stream:
        content = stream.get_final_message().content
        found["messages calls"] = len([part for part in content if part.type == "tool_use"])

    google = genai.Client(api_key=key, http_options={"base_url": url, "api_version": "v1beta"})
    models = google.models
    text, calls = "", 0
    for chunk in models.generate_content_stream(model="gemini-2.5-flash", contents="say hello"):
        text += chunk.text or ""
    for chunk in models.generate_content_stream(model="gemini-2.5-flash", contents="do both"):
        calls += len(chunk.function_calls or [])
    found["gemini text"], found["gemini calls"] = text, calls
    return [
        f"the vendor's client reads {name} from the mock as {value!r}"
        for name, value in found.items()
        if (value != 2 if name.endswith("calls") else not str(value).startswith("Hello from the mock"))
    ]


def main():
    requests = json.load(sys.stdin)
    objections = check(requests)
    if "--probe" in sys.argv:
        objections += probe(sys.argv[sys.argv.index("--probe") + 1])
    for objection in objections:
        print(objection)
    if objections:
        sys.exit(1)
    print(f"{len(requests)} requests fit")


if __name__ == "__main__":
    main()
