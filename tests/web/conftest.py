"""One server, and two people at it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from modelserver import ModelServer
from webserver import Person, WebServer


@pytest.fixture(scope="session")
def server() -> Iterator[WebServer]:
    """A running server."""
    with WebServer() as running:
        yield running.start()


@pytest.fixture(scope="module")
def own() -> Iterator[WebServer]:
    """A server of one module's tests alone."""
    with WebServer() as running:
        yield running.start()


@pytest.fixture(scope="module")
def admin(own: WebServer) -> Person:
    """Its administrator."""
    return own.set_up()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """For what goes on while a test does something else."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def fresh() -> Iterator[Callable[..., WebServer]]:
    """Makes servers for one test alone, not started yet."""
    made: list[WebServer] = []

    def make(**variables: str) -> WebServer:
        made.append(WebServer(**variables))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def ada(server: WebServer) -> Person:
    """The administrator."""
    return server.set_up("ada")


@pytest.fixture(scope="session")
def bob(server: WebServer, ada: Person) -> Person:
    """Somebody else."""
    return server.add_user("bob")


@pytest.fixture(scope="session")
def models() -> Iterator[ModelServer]:
    """A server of language models that says what it is told to."""
    with ModelServer() as server:
        yield server
