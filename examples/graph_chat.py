"""The tool-calling agent: a pretended model that answers the same to the same conversation."""

from __future__ import annotations

import random
import zlib
from typing import Annotated, Any, TypedDict
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition

WORDS = ("ledger shard quorum replica cursor digest splice writer reader batch index page "
         "column trigger stream vector cutover snapshot thread channel version résumé "
         "数据").split()


def text_for(key: str, words: int) -> str:
    """Gives the same pseudo-random sentence for the same key."""
    chooser = random.Random(zlib.crc32(key.encode()))
    return " ".join(chooser.choice(WORDS) for _ in range(words))


def merge(left: dict[str, Any] | None, right: dict[str, Any] | None) -> dict[str, Any]:
    """Reducer of maps: the later key wins."""
    return {**(left or {}), **(right or {})}


class ChatState(TypedDict, total=False):
    """State of the tool-calling agent."""

    messages: Annotated[list[AnyMessage], add_messages]
    turns: int
    facts: Annotated[dict[str, Any], merge]
    summary: str


@tool
def search(query: str) -> str:
    """Search the notes."""
    return "\n".join(f"{n}. {text_for(query + str(n), 12)}" for n in range(1, 4))


@tool
def calculate(left: int, right: int) -> str:
    """Multiply two integers."""
    return str(left * right)


TOOLS = [search, calculate]


def tool_calls(messages: list[AnyMessage]) -> list[dict[str, Any]]:
    """Decides which tools the pretended model calls next."""
    human = max(i for i, message in enumerate(messages) if isinstance(message, HumanMessage))
    rounds = sum(isinstance(message, AIMessage) for message in messages[human:])
    number = zlib.crc32(str(messages[human].content).encode())
    if rounds >= number % 3:
        return []
    call = f"call_{number:08x}{len(messages):04d}"
    calls = [{"name": "search", "args": {"query": str(messages[human].content)}, "id": call + "a"}]
    if number % 2:
        args = {"left": number % 97, "right": len(messages)}
        calls.append({"name": "calculate", "args": args, "id": call + "b"})
    return calls


def reply(messages: list[AnyMessage]) -> AIMessage:
    """Answers as a chat model would, with usage and response metadata."""
    calls = tool_calls(messages)
    key = f"{len(messages)}:{messages[-1].content}"
    used = {"input_tokens": 40 * len(messages), "output_tokens": 60}
    used["total_tokens"] = sum(used.values())
    return AIMessage(
        content="" if calls else text_for(key, 40),
        tool_calls=calls,
        id=f"lc_run--{uuid5(NAMESPACE_URL, key)}-0",
        response_metadata={"model_name": "pretend-1", "finish_reason": "stop", "logprobs": None},
        usage_metadata=used,
    )


def chat_agent(state: ChatState) -> dict[str, Any]:
    """The model's node."""
    answer = reply(state["messages"])
    update: dict[str, Any] = {"messages": [answer]}
    if not answer.tool_calls:
        turn = state.get("turns", 0) + 1
        update |= {"turns": turn, "facts": {f"turn-{turn}": {"words": len(answer.content)}}}
        update["summary"] = answer.content[:60]
    return update


def build_chat() -> StateGraph:
    """Agent and tools in a loop."""
    graph = StateGraph(ChatState)
    graph.add_node("agent", chat_agent)
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    return graph
