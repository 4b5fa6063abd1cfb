"""LangGraph's checkpointer over any of restow's stores."""

from restow.errors import RestowError

__all__ = ["RestowError"]
