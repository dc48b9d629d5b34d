"""The web room: pages, REST and the WebSocket. It knows the core and holds no rules of its own."""

from toolhost.web.app import create_app, new_setup_token
from toolhost.web.serve import serve

__all__ = ["create_app", "new_setup_token", "serve"]
