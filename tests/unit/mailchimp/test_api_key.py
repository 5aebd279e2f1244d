import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ApiKeyMalformed
from worker.mailchimp import api_key
from worker.mailchimp.client import Client

KEY = "0123456789abcdef0123456789abcdef-us21"


def test_data_centre_is_what_follows_the_last_dash():
    """The data centre is what follows the last dash, in lower case; the secret may hold dashes itself."""
    assert api_key.parse(KEY).data_centre == "us21"
    assert api_key.parse("a-b-c-US6").data_centre == "us6"


def test_space_around_a_pasted_key_is_dropped():
    """A key pasted with a space before it and a line's end after it is the same key."""
    assert api_key.parse(f"  {KEY}\n") == api_key.parse(KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "0123456789abcdef",
        "-us21",
        "abc-",
        "abc-evil.example/x",
        "abc-evil.example",
        "abc-us1@evil.example",
        "abc-us1#",
        "abc-us1?x=",
        "abc-us1:80",
        "abc-us\t1",
        "abc us-us1",
        "abc-us1\r\nHost: evil.example",
        "abc-us\u0661",  # a digit, but not one of a host name
        "abc-\uff55\uff531",
        "äbc-us1",
        "abc-" + "x" * 64,
        "x" * 300 + "-us1",
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(text):
    """Text that is no API key is refused with advice, and the message does not repeat it."""
    with pytest.raises(ApiKeyMalformed) as caught:
        api_key.parse(text)
    assert caught.value.advice
    assert "evil" not in caught.value.message + caught.value.advice
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" ", "No API key was given"),
        ("x" * 253 + "-us1", "over 256 characters"),
        ("a b-us1", "a space or a character that no API key has"),
        ("nonsense", "does not end with a dash and its data centre"),
        ("-us1", "does not end with a dash and its data centre"),
        ("a-us.1", "What follows the last dash of the API key is no data centre"),
    ],
)
def test_what_is_wrong_with_a_key_is_reported(text, told):
    """The message says which rule the text breaks."""
    with pytest.raises(ApiKeyMalformed, match=told):
        api_key.parse(text)


def test_a_key_of_the_greatest_length_is_one():
    """256 characters are not too many."""
    assert api_key.parse("x" * 252 + "-us1").hint == "xxxx-us1"


@given(st.text())
def test_only_letters_and_digits_reach_the_host_name(text):
    """Whatever is entered is refused, or names a host below Mailchimp's domain with letters and digits only."""
    try:
        key = api_key.parse(text)
    except ApiKeyMalformed:
        return
    assert key.data_centre.isascii()
    assert key.data_centre.isalnum()


def test_printing_a_key_shows_four_characters_and_its_data_centre_only():
    """No way of printing a key, or what holds one, shows more than four characters before its data centre."""
    key = api_key.parse(KEY)
    client = Client(key, "https://{dc}.api.mailchimp.com/3.0", timeout=1)
    shown = [repr(key), str(key), f"{key}", repr([key]), repr({"key": key}), repr(client), str(vars(client))]
    assert key.hint == "cdef-us21"
    assert api_key.parse("short-secret-us1").hint == "-us1"
    assert key.reveal() == KEY
    for text in shown:
        assert KEY[:8] not in text


def test_a_client_is_for_the_data_centre_of_its_key():
    """The data centre takes the place of {dc} in the configured URL; a URL without it is used as it is."""
    key = api_key.parse(KEY)
    assert "https://us21.api.mailchimp.com/3.0" in repr(Client(key, "https://{dc}.api.mailchimp.com/3.0", timeout=1))
    assert "http://127.0.0.1:1/3.0" in repr(Client(key, "http://127.0.0.1:1/3.0", timeout=1))
