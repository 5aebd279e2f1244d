"""The worker's exceptions, each with advice for the operator.

``worker.__main__`` prints those that nobody else catches, and sets the exit code.
"""

import re

STOPPED_CODE = 3
"""The exit code of a command that a person stopped: not a failure, but 0 would claim that it did everything."""


class WorkerError(Exception):
    """A failure that an operator can understand and act on.

    Attributes:
        message: what happened, in one sentence.
        advice: what to do, in one sentence or more.
    """

    exit_code = 1

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    @property
    def code(self) -> str:
        """Its kind, for programs: the class name in snake case, such as ``not_found``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


class UsageError(WorkerError):
    """The command was used wrongly; nothing was done."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting in the config is wrong or unknown; the worker does not start."""


class NotFound(WorkerError):
    """The named object does not exist."""


class DatabaseError(WorkerError):
    """The local SQLite database cannot be used."""


class AlreadyRunning(WorkerError):
    """Another process holds this database's lock."""


_MORE_FILES = (
    "Raise the limit to 1024 or more: ulimit -n 1024, LimitNOFILE= in a systemd unit, or --ulimit nofile=1024 of a "
    "container."
)


class TooManyOpenFiles(WorkerError):
    """The process may not have as many files open as it needs."""

    def __init__(self, message: str, advice: str = _MORE_FILES) -> None:
        super().__init__(message, advice)


class SecretKeyError(WorkerError):
    """The key that encrypts API keys is missing, malformed or another than the one that encrypted them."""


class KafkaError(WorkerError):
    """Kafka cannot be reached, refuses access or lacks the topic."""


class NotMoved(KafkaError):
    """The database has a ledger or settings that were never written to Kafka."""


class NotSigned(KafkaError):
    """Records of ledger or settings are not signed with this secret key, so they are rejected."""


class WriterFenced(KafkaError):
    """Another process took over a partition of ledger or settings, so this one can no longer write to it."""


class PartitionGivenUp(WriterFenced):
    """The worker gave up the partition before the write; nothing was sent."""


class LedgerLost(KafkaError):
    """Ledger or settings in Kafka are incomplete, and an operator must decide how to continue."""


class ConsumerStopped(KafkaError):
    """The consumer met a fatal error; the process must end so that its supervisor restarts it."""


class FlushEndedEarly(WorkerError):
    """A flush ended early though nobody stopped it; the remaining customers stay changed."""


class NotPlanned(WorkerError):
    """Accounts could not be planned, because Mailchimp gave no useful answer."""


class PublishStopped(WorkerError):
    """A person interrupted the publishing of events."""

    exit_code = STOPPED_CODE


class RequestWithdrawn(WorkerError):
    """The request for a flush was withdrawn before the flush began."""


class WebError(WorkerError):
    """The web server cannot listen on its address."""


class AccountError(WorkerError):
    """A rule forbids this change of an account's settings."""


class MailchimpError(WorkerError):
    """Mailchimp cannot be reached, or refused a call."""


class ApiKeyMalformed(MailchimpError):
    """The text is not a Mailchimp API key; nothing was sent anywhere."""

    exit_code = 2


class ApiKeyRefused(MailchimpError):
    """Mailchimp does not accept the API key."""


class WrongDataCentre(MailchimpError):
    """The API key belongs to another data centre than its suffix says, or that data centre does not exist."""


class MailchimpUnreachable(MailchimpError):
    """Mailchimp did not answer."""


class CertificateNotAccepted(MailchimpError):
    """The certificate of Mailchimp's host, or of a proxy, is not accepted; nothing was sent."""
