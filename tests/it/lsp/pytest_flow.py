"""pytest-lsp, with the capabilities that named editors declare: the server as a client library sees it.

    ORCHESTRATOR=path/to/orchestrator python -m pytest -q -p no:cacheprovider pytest_flow.py
"""

import ast
import asyncio
import os
import pathlib

import pytest
import pytest_lsp
from lsprotocol import types as t
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

PROGRAM = os.environ["ORCHESTRATOR"]
WORKSPACE = pathlib.Path(os.environ["WORKSPACE"])
EDITORS = ["visual-studio-code", "neovim", "emacs"]


@pytest_lsp.fixture(params=EDITORS, config=ClientServerConfig(server_command=[PROGRAM, "--lsp"]))
async def client(request, lsp_client: LanguageClient):
    asked = asyncio.Queue()
    lsp_client.asked = asked

    @lsp_client.feature(t.WINDOW_SHOW_MESSAGE_REQUEST)
    async def _ask(params: t.ShowMessageRequestParams):
        future = asyncio.get_running_loop().create_future()
        await asked.put((params, future))
        return await future

    edits = asyncio.Queue()
    lsp_client.edits = edits

    @lsp_client.feature(t.WORKSPACE_APPLY_EDIT)
    async def _edit(params: t.ApplyWorkspaceEditParams):
        await edits.put(params.edit)
        return t.ApplyWorkspaceEditResult(applied=True)

    @lsp_client.feature(t.WORKSPACE_CODE_LENS_REFRESH)
    def _refresh(*_):
        return None

    await lsp_client.initialize_session(
        t.InitializeParams(
            capabilities=client_capabilities(request.param),
            root_uri=WORKSPACE.as_uri(),
            client_info=t.ClientInfo(name=request.param),
        )
    )
    yield
    await lsp_client.shutdown_session()


def opened(client: LanguageClient, name: str, text: str) -> str:
    uri = (WORKSPACE / name).as_uri()
    client.text_document_did_open(t.DidOpenTextDocumentParams(t.TextDocumentItem(uri, "plaintext", 1, text)))
    return uri


async def run(client: LanguageClient, argument: dict):
    return await client.workspace_execute_command_async(t.ExecuteCommandParams("orchestrator.run", [argument]))


async def soon(queue: asyncio.Queue):
    return await asyncio.wait_for(queue.get(), 30)


@pytest.mark.asyncio
async def test_a_mark_is_offered_as_a_request(client: LanguageClient):
    uri = opened(client, "a.txt", "x\n// TODO: y\n")
    here = t.Range(t.Position(1, 0), t.Position(1, 0))
    actions = await client.text_document_code_action_async(
        t.CodeActionParams(t.TextDocumentIdentifier(uri), here, t.CodeActionContext(diagnostics=[]))
    )
    assert [action.title for action in actions] == ["Orchestrate: do this TODO"]
    # The library takes an action that carries a command for a command, whose name it then makes of that object.
    command = ast.literal_eval(actions[0].command)
    assert command["command"] == "orchestrator.run"
    assert command["arguments"][0]["description"].endswith("and remove it: y")


@pytest.mark.asyncio
async def test_a_run_ends_its_progress_and_a_decision_is_answered(client: LanguageClient):
    tasks = [
        {"id": "q", "title": "Colour", "kind": "decision", "question": "Which colour?", "options": ["Red", "Blue"]},
        {"id": "a", "title": "Write", "kind": "shell", "run": "date +%s%N > made.txt", "needs": ["q"]},
    ]
    reply = await run(client, {"description": "ask, then write", "plan": {"version": 1, "tasks": tasks}})
    question, future = await soon(client.asked)
    assert "Which colour?" in question.message
    assert [action.title for action in question.actions] == ["Red", "Blue"]
    future.set_result(question.actions[0])
    over, future = await soon(client.asked)
    assert over.message.startswith(reply["request_id"]) and "completed" in over.message
    future.set_result(None)
    for token, values in client.progress_reports.items():
        kinds = [type(value).__name__ for value in values]
        assert kinds[0] == "WorkDoneProgressBegin" and kinds[-1] == "WorkDoneProgressEnd", (token, kinds)
        percents = [value.percentage for value in values[:-1]]
        assert percents == sorted(percents)
    assert len(client.progress_reports) == 1
