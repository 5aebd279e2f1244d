"""Other workers that hang, die during their answer, have lost the account or were restarted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import OTHER, Site
from worker.sqlite.database import Database
from worker.web import forwarding
from worker.web.access.visitor import Visitor
from worker.web.application import web_application
from worker.web.errors import WorkerAway
from worker.web.forwarding import GOOD_FOR, ForwardedRequest, SeenRequests, forward

ROOT = f"/api/v1/accounts/{ACCOUNT}"
SECONDS = 0.4


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Serves connections by a function, each in a thread, closes each after its answer, and gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = server.accept()
                    threading.Thread(target=one_answer, args=[one], daemon=True).start()

        def one_answer(one: socket.socket) -> None:
            with one, suppress(OSError):
                one.recv(65536)
                answer(one)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def of(site: Site, url: str | None) -> Site:
    """Returns a site whose accounts, but for one, are another worker's."""

    def elsewhere(db: Database, account_id: object) -> str | None:
        return None if account_id == OTHER else url

    made = Site(site.world)
    made.context = replace(made.context, elsewhere=elsewhere)
    made.application = web_application(dict, dict, CollectorRegistry(), made.context)
    return made


def test_half_an_answer_counts_as_none() -> None:
    """If a worker dies during its answer, half a list of people would look complete."""
    with (
        answering(lambda one: one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")) as url,
        pytest.raises(WorkerAway, match="incomplete"),
    ):
        forward(url, ForwardedRequest("GET", "/"), {})


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_an_answer_that_drips_ends_in_time(begin: bytes) -> None:
    """The timeout is for the whole answer: it does not start again with each byte."""
    ended = threading.Event()

    def drip(one: socket.socket) -> None:
        one.sendall(begin)
        while not ended.wait(SECONDS / 20):
            one.sendall(b"x")

    with answering(drip) as url:
        at = time.monotonic()
        with pytest.raises(WorkerAway):
            forward(url, ForwardedRequest("GET", "/"), {}, SECONDS)
        assert time.monotonic() - at < 20 * SECONDS
        ended.set()


def test_a_worker_that_hangs_leaves_the_others_pages_free(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some requests wait for it. Others are refused, and the pages of this worker's accounts are served."""
    monkeypatch.setattr(forwarding, "WAIT_SECONDS", 0.0)
    come, ended = threading.Semaphore(0), threading.Event()

    def hang(one: socket.socket) -> None:
        come.release()
        ended.wait(30)

    with answering(hang) as url:
        here = of(site, url)
        waiting = [
            threading.Thread(target=lambda: here.program().get(ROOT), daemon=True)
            for _ in range(forwarding.MOST_AT_ONCE)
        ]
        for one in waiting:
            one.start()
        assert all(come.acquire(timeout=20) for _ in waiting)
        refused = here.program().get(ROOT)
        assert (refused.status_code, refused.json()["code"]) == (503, "worker_away")
        assert here.program().get(f"/api/v1/accounts/{OTHER}").status_code == 200
        ended.set()
        for one in waiting:
            one.join(30)
            assert not one.is_alive()


def test_a_worker_that_lost_the_account_refuses_forwarded_requests(site: Site) -> None:
    """What it has of the account is out of date, and it does not forward the request again."""
    asked = list[bytes]()
    with answering(lambda one: asked.append(b"")) as url:
        here = of(site, url)
        signer = here.context.signer("forwarded")
        header = forwarding.signed(signer, Visitor(None), ForwardedRequest("GET", ROOT), site.world.clock())
        answer = here.anybody().get(ROOT, headers={forwarding.HEADER: header})
    assert (answer.status_code, answer.json()["code"], asked) == (503, "worker_away", [])


def test_a_refused_signature_is_reported_as_such(site: Site) -> None:
    """Its clock or secret key differs. A visitor who is signed in is not asked to sign in again."""
    with answering(lambda one: one.sendall(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")) as url:
        answer = of(site, url).program().get(ROOT)
    assert answer.status_code == 503
    assert "Compare their clocks and secret keys" in answer.json()["detail"]


def test_a_request_that_was_signed_before_a_restart_is_refused(site: Site) -> None:
    """A forwarded request that was signed before the restart is refused, because it may have been used."""
    now = site.world.clock()
    signer = site.context.signer("forwarded")
    request = ForwardedRequest("GET", ROOT)
    early, late = (forwarding.signed(signer, Visitor(None), request, at) for at in (now, now + GOOD_FOR / 2))
    seen = SeenRequests(now + timedelta(seconds=2))
    assert forwarding.visitor_of(signer, seen, early, request, now + timedelta(seconds=3)) is None
    assert forwarding.visitor_of(signer, seen, late, request, now + GOOD_FOR / 2) is not None
