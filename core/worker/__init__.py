"""The program inside a plugin's sandbox: it loads the plugin's module and calls its tools for the host.

Nothing in here runs in the host process, and nothing the host believes depends on it: a plugin owns its worker.
"""
