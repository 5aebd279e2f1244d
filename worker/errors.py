"""What can go wrong, each with its advice.

Only ``worker.__main__`` catches these: it prints what happened and what to do, and sets the exit code.
"""

import re


class WorkerError(Exception):
    """A failure that an operator can understand and act on.

    Attributes:
        what: one sentence that says what happened.
        advice: one sentence or more that says what to do.
    """

    exit_code = 1

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    @property
    def code(self) -> str:
        """Its kind, for programs: the class's name, as in ``not_found``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


class UsageError(WorkerError):
    """The command was used wrongly; nothing was tried."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting of the operator is wrong or unknown; the start is refused."""


class NotFound(WorkerError):
    """Something was named that is not there."""


class DatabaseError(WorkerError):
    """The local SQLite database cannot be used."""


class AlreadyRunning(WorkerError):
    """Another process holds this database's lock."""


class SecretKeyError(WorkerError):
    """The key that encrypts API keys is missing, malformed or not the one they were encrypted with."""


class KafkaError(WorkerError):
    """Kafka cannot be reached, refuses us or lacks the topic."""


class NotMoved(KafkaError):
    """The database has a ledger or settings of its own that were never written to Kafka."""


class NotSigned(KafkaError):
    """Records of ledger or settings were not written with this secret key, so none of them is believed."""


class WriterFenced(KafkaError):
    """Somebody else took over a partition of ledger or settings; nothing more can be written to it from here."""


class PartitionGivenUp(WriterFenced):
    """The worker gave the partition up before the write; nothing was sent."""


class LedgerLost(KafkaError):
    """Kafka's ledger or settings are not whole, and an operator must say how to go on."""


class ConsumerStopped(KafkaError):
    """The consumer met a fatal error; the process must end so that its supervisor restarts it."""


class FlushEndedEarly(WorkerError):
    """A flush made no further calls though nobody asked it to stop; what is left is changed still."""


class PublishStopped(WorkerError):
    """A person stopped the publishing of events."""

    exit_code = 130


class RequestWithdrawn(WorkerError):
    """A flush was asked for, and the request withdrawn before it began."""


class WebError(WorkerError):
    """The web server cannot listen where it should."""


class AccountError(WorkerError):
    """A step of an account's settings cannot be done as asked."""


class MailchimpError(WorkerError):
    """Mailchimp cannot be reached, or refused what was asked for an account's settings."""


class ApiKeyMalformed(MailchimpError):
    """The text is no Mailchimp API key; nothing was sent anywhere."""

    exit_code = 2


class ApiKeyRefused(MailchimpError):
    """Mailchimp does not accept the API key."""


class WrongDataCentre(MailchimpError):
    """The API key belongs to another data centre than the one at its end, or that one does not exist."""


class MailchimpUnreachable(MailchimpError):
    """No answer came from Mailchimp."""
