"""The agent: a model that uses the host's tools, through the same one way as everybody else.

config      models, profiles and limits, as the settings file has them
models      which of them there are, and who may choose which
clients     the clients of their servers
asking      one answer of a model, as it comes
turn        the loop: what the model asks for is done, until it has nothing more to ask for
telling     what it is told of each call, framed as data
window      what is left out when a conversation nears what it can take in
history     what was said before, from a conversation's branch
store       runs as they are written down
faults      what goes wrong, in codes of ours

Nothing here imports the library that speaks to models before a model is asked: it takes seconds.
"""

from toolhost.agent.config import AgentSettings, Caps, ModelSpec, Profile, read_agent
from toolhost.agent.models import Models

__all__ = ["AgentSettings", "Caps", "ModelSpec", "Models", "Profile", "read_agent"]
