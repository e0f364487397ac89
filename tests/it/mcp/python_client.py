"""The Python SDK's client against the server of these tests, in one of its three modes. Prints one JSON object."""

import asyncio
import json
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters


async def main(mode, program, env):
    server = StdioServerParameters(command=program, args=[], env=env)
    beats = []

    async def progress(done, total, message):
        beats.append(done)

    async with Client(server, mode=mode) as client:
        tools = await client.list_tools()
        prompts = await client.list_prompts()
        resources = await client.list_resources()
        # The client itself checks structured content against the tool's output schema.
        state = await client.call_tool("get_state", {})
        started = await client.call_tool(
            "process_request",
            {
                "description": "write a file",
                "plan": {
                    "version": 1,
                    "title": "One task",
                    "tasks": [
                        {"id": "a", "title": "A", "kind": "shell", "run": "echo hi > a-new.txt",
                         "writes": ["a-new.txt"], "verify": [["test", "-f", "a-new.txt"]]}
                    ],
                },
            },
        )
        run = started.structured_content["request_id"]
        after = 0
        for _ in range(100):
            change = await client.call_tool(
                "wait_for_change", {"after": after, "run": run, "timeout_s": 20}, progress_callback=progress
            )
            after = change.structured_content["revision"]
            if any(event["type"] == "run.finished" for event in change.structured_content["events"]):
                break
        claimed = None
        if any(tool.name == "claim_task" for tool in tools.tools):
            claimed = (await client.call_tool("claim_task", {})).structured_content
        status = await client.call_tool("get_task_status", {"task_id": run})
        wrong = await client.call_tool("get_task_status", {"task_id": "T-999"})
        print(json.dumps({
            "tools": len(tools.tools),
            "prompts": [prompt.name for prompt in prompts.prompts],
            "resources": len(resources.resources),
            "first": next(iter(state.structured_content)),
            "status": status.structured_content["status"],
            "wrong": wrong.is_error,
            "claimed": claimed,
        }))


asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
