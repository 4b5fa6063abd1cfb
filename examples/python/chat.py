"""A conversation that remembers what was said, in a store of restow's.

Run it twice: `python chat.py agent.restow`.
"""

import sys

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from restow.langgraph import Saver


def answer(state: MessagesState) -> dict:
    return {"messages": [AIMessage(f"That was message {len(state['messages'])}.")]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
builder.add_edge("answer", END)

saver = Saver(sys.argv[1] if len(sys.argv) > 1 else "agent.restow")
graph = builder.compile(checkpointer=saver)
thread = {"configurable": {"thread_id": "chat"}}
state = graph.invoke({"messages": [("user", "Hello!")]}, thread)
print(state["messages"][-1].content)
print(sum(1 for _ in saver.list(thread)), "checkpoints")
