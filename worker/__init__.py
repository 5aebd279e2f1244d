"""Keeps billmywork's customers in their Mailchimp lists."""

__version__ = "0.1.0"
