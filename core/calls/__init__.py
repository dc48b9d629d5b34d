"""One call, from a request to a result: the one way through."""
