"""LangGraph's own setup on a PostgreSQL database, whole or stopped half way, and its saver at work.

    official.py setup URL           PostgresSaver.setup()
    official.py upto URL VERSION    its migrations up to a version
    official.py shallow URL         ShallowPostgresSaver.setup()
    official.py use URL             writes and reads back a thread of two checkpoints
    official.py serve               does what each line of its input says, and answers `done`
"""

import sys
import warnings

import psycopg
from psycopg.rows import dict_row

warnings.simplefilter("ignore")

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.base import MIGRATIONS
from langgraph.checkpoint.postgres.shallow import ShallowPostgresSaver


def use(saver: PostgresSaver) -> None:
    config = {"configurable": {"thread_id": "official", "checkpoint_ns": ""}}
    for step in range(2):
        checkpoint = empty_checkpoint()
        version = saver.get_next_version(None, None)
        checkpoint["channel_values"] = {"list": [step], "text": f"step {step}"}
        checkpoint["channel_versions"] = {"list": version, "text": version}
        config = saver.put(config, checkpoint, {"step": step}, checkpoint["channel_versions"])
        saver.put_writes(config, [("list", [step + 1])], "task", "path")
    found = saver.get_tuple(config)
    assert found.checkpoint["channel_values"] == {"list": [1], "text": "step 1"}, found
    assert found.pending_writes == [("task", "list", [2])], found
    assert len(list(saver.list({"configurable": {"thread_id": "official"}}))) == 2


def main(command: str, url: str, *rest: str) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row) as conn:
        match command:
            case "setup":
                PostgresSaver(conn).setup()
            case "upto":
                for version in range(int(rest[0]) + 1):
                    conn.execute(MIGRATIONS[version])
                    conn.execute("INSERT INTO checkpoint_migrations VALUES (%s)", (version,))
            case "shallow":
                ShallowPostgresSaver(conn).setup()
            case "use":
                use(PostgresSaver(conn))
            case _:
                sys.exit(__doc__)


if sys.argv[1:] == ["serve"]:
    for line in sys.stdin:
        main(*line.split())
        print("done", flush=True)
else:
    main(*sys.argv[1:])
