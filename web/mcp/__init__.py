"""`/mcp`: the tools of a person over the Model Context Protocol.

The protocol is the official SDK's; nothing of it is written here. A request comes through the same door as every other
(`toolhost.web.guard`), and a call goes the one way that every call goes (`Host.call`). The SDK takes a second to
import, so it is loaded with the first request that gets as far.
"""
