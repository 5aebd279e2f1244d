import socket
import urllib.request

import pytest

from worker.mailchimp import api_key
from worker.mailchimp.calls import Call
from worker.mailchimp.client import Client


def test_a_unit_test_that_opens_a_socket_fails():
    """Opening a socket in a unit test fails it, also where the code under test handles a network's failures."""
    with pytest.raises(pytest.fail.Exception):
        socket.socket()
    with pytest.raises(pytest.fail.Exception):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(pytest.fail.Exception):
        urllib.request.urlopen("http://127.0.0.1:9")
    with pytest.raises(pytest.fail.Exception):
        Client(api_key.parse("a-us1"), "http://127.0.0.1:9/3.0", timeout=1).send(Call("GET", "/ping"))
