"""One agent as a process of its own, to be killed: `python -m tests.desk_live.lone_agent BASE COOKIE STAFF`.

Takes the next customer, writes a first message, begins a second one, and stays.
"""

import asyncio
import sys

from tests.desk_live.clients import AgentClient, until


async def serve(base: str, cookie: str, staff: str) -> None:
    """Work until killed."""
    agent = await AgentClient(base, cookie, int(staff)).online()
    number = (await agent.takes())["conversation"]["id"]
    assert (await agent.writes(number, "First")).status_code == 201
    await until(lambda: agent.heard("held", state="released"))
    assert (await agent.writes(number, "Second")).status_code == 201
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
