"""Client of vigie's API: crypto attention and sentiment as pandas frames."""

from vigie.client import Client
from vigie.http import Problem, Time
from vigie.stream import Event

__all__ = ["Client", "Event", "Problem", "Time"]
