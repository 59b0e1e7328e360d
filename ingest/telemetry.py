"""Every metric and every log event by name, with what it means. What is not listed here is neither counted nor logged.

Labels and log fields carry ids and words from closed lists: never an answer, a token, a URL or the text of an error,
which may quote any of them. Several processes share a folder of counters (`PROMETHEUS_MULTIPROC_DIR`, set by their
parent) and their parent adds them up.
"""

import logging
import sys
from typing import Literal

import structlog
from prometheus_client import Counter, Gauge, Histogram

Event = Literal[
    # the door
    "door.listening",  # the webhook service takes connections
    "door.draining",  # told to stop: open deliveries are finished, new ones refused
    "door.not-acknowledged",  # the broker did not acknowledge deliveries in time; Meta was told 503 and sends again
    "door.values-switched-off",  # ALARM: the subscription has "include values" off, so notifications name no lead
    "door.verified",  # Meta verified the callback URL
    "door.refused",  # deliveries or handshakes were refused; `reason` says why, `times` how often since the last line
    "door.defect",  # a defect: the delivery was answered 500; `reason` says which error, and where
    "producer.fatal",  # the producer can no longer promise order; the process ends and its parent starts another
    # the workers
    "worker.assigned",  # partitions were given to this worker
    "worker.revoked",  # partitions were taken; what was open there is left to the next owner
    "worker.draining",  # told to stop: open records are finished
    "worker.offset-gone",  # ALARM: records expired unread; the group has to be moved (`leadstream replay`) to go on
    "worker.held",  # a failure that is not the record's: it is tried again, nothing is committed past it
    "worker.crashed",  # a defect: the process ends without committing past it
    "worker.limit",  # ALARM: so many records were given up within a minute that the worker stands still for its rest
    "worker.storm",  # ALARM: most calls of several pages fail; the worker stands still and probes with one call
    "access.broken",  # ALARM: an app, token or page may not read leads; they are parked until a person repairs it
    "access.doubtful",  # single leads of a page are parked, though others may be read
    "access.paused",  # a budget is used up: nothing of it is asked until Meta's own estimate
    "access.open",  # what was broken or doubtful may be read again
    "access.unread",  # meta.access, parked or fates cannot be read just now; what was read last stays in force
    "parked.released",  # parked records of a page went back to be fetched
    "health.wrong",  # ALARM: a page's access is wrong, or about to be (`code`); ask `leadstream doctor`
    "health.warning",  # the same, of what costs something and loses no lead
    "health.gone",  # what was found of a page's access is over
    "graph.version",  # ALARM: Meta serves another API version than the one asked for
    "pages.read",  # META_PAGES_FILE, or a token file it names, changed and is in force
    "pages.broken",  # ALARM: META_PAGES_FILE changed and cannot be used; the pages stay as they were
    "form.unreadable",  # a form may not be read: its leads go on without labels
    "form.new",  # a form of a page that was not there before
    "form.changed",  # a form asks or tells something else than before: look at the mapping files that read it
    "form.archived",  # a form takes no more leads; `status` says which of Meta's words it is
    "forms.unread",  # the forms of a page cannot be listed just now
    "mapping.read",  # a mapping file is in force, new or changed; `mapping` is its content hash
    "mapping.refused",  # ALARM: a mapping file changed and cannot be used; the one before stays in force
    "mapping.removed",  # a mapping file is gone: nothing more is made for its target
    "mapping.failing",  # ALARM: leads went to dead for a target; `times` how many within a minute
    # connect watch
    "connect.failed",  # a connector or a task of it has failed
    "connect.restarted",  # and was restarted
    "connect.given-up",  # ALARM: it failed again as often as is allowed; a person has to look
    "connect.recovered",  # what had failed runs again
    "connect.unreachable",  # ALARM: Kafka Connect does not answer
    # canary
    "canary.arrived",  # a test lead came through in time
    "canary.late",  # ALARM: a test lead came through, after more than the objective; `seconds` says when
    "canary.lost",  # ALARM: a test lead did not come through; `stuck` is the stage it did not pass
    "canary.not-flown",  # no test lead was made; `reason` says why
    "canary.left",  # a test lead could not be deleted at Meta; the next run does
    # reconcile
    "reconcile.done",  # a reconciliation is over: how many leads Meta has, how many are here, how many came by it
    "reconcile.missing",  # ALARM: Meta had leads that nobody had told us of: webhooks are being missed
    "reconcile.unread",  # ALARM: a page or a form cannot be read, so that nobody knows what is missing there
    "reconcile.failed",  # a reconciliation could not go on, as Kafka cannot be read; it is tried again
    # the parent
    "process.started",
    "process.ended",  # a child ended; `code` is its exit code
    "process.restarting",  # the child is started again after `seconds`
    "process.stalled",  # a child has not reported for too long and is ended
    "admin.listening",  # where health, readiness and metrics are
]

Level = Literal["info", "warning", "error"]

DELIVERIES = Counter("leadstream_deliveries", "POSTs at the webhook, by the status they were answered with", ["status"])
CHANGES = Counter("leadstream_changes", "Changes acknowledged by the broker, by the topic they went to", ["topic"])
BODY_BYTES = Gauge(
    "leadstream_body_bytes", "Bytes of webhook bodies held in memory right now", multiprocess_mode="livesum"
)
ACKNOWLEDGE_SECONDS = Histogram(
    "leadstream_acknowledge_seconds",
    "From the last byte of a POST to the broker's acknowledgement of all its records",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
VALUES_SWITCHED_OFF = Counter(
    "leadstream_values_switched_off", "ALARM: notifications without values; switch 'include values' on for the app"
)
SAMPLES = Counter("leadstream_samples", "The dashboard's sample lead, which does not exist and is skipped")

RECORDS = Counter(
    "leadstream_records", "Records brought to their outcome, by worker and outcome", ["worker", "outcome"]
)
OPEN_RECORDS = Gauge(
    "leadstream_open_records", "Records read and not yet committable", ["worker"], multiprocess_mode="livesum"
)
HELD = Counter(
    "leadstream_held", "Tries that failed through no fault of the record and are repeated", ["worker", "reason"]
)
DEAD_LETTERS = Counter("leadstream_dead_letters", "Records sent to the dead-letter topic", ["stage", "reason"])
GRAPH_CALLS = Counter(
    "leadstream_graph_calls", "Calls to the Graph API, by what was asked and how it ended", ["ask", "end"]
)
GRAPH_SECONDS = Histogram("leadstream_graph_seconds", "Duration of a call to the Graph API", ["ask"])
ACCESS_BROKEN = Gauge(
    "leadstream_access_broken",
    "ALARM: apps, tokens and pages that may not read leads until a person repairs it; told by work retry",
    multiprocess_mode="livemax",
)
HEALTH_PAGES = Gauge(
    "leadstream_health_pages",
    "Pages whose access has this finding, of all that are this worker's; `leadstream doctor` says what a code means",
    ["code"],
    multiprocess_mode="livemax",
)
TOKEN_DAYS = Gauge(
    "leadstream_token_days",
    "Days until a page's token ends, of the 20 that end first; those that never do are left out",
    ["page_id"],
    multiprocess_mode="livemax",
)
DATA_ACCESS_DAYS = Gauge(
    "leadstream_data_access_days",
    "Days until the data access of a page's token ends, of the 20 that end first",
    ["page_id"],
    multiprocess_mode="livemax",
)
PAGES_BROKEN = Gauge(
    "leadstream_pages_broken",
    "ALARM: 1 while META_PAGES_FILE cannot be used as it is and older pages are in force",
    multiprocess_mode="livemax",
)
CRM_RECORDS = Counter(
    "leadstream_crm_records", "Leads brought to their outcome for a CRM topic, by target", ["target", "outcome"]
)
MAPPING_FAILURES = Counter(
    "leadstream_mapping_failures",
    "Leads that a mapping file failed for, by target, field and reason",
    ["target", "field", "reason"],
)
MAPPINGS_BROKEN = Gauge(
    "leadstream_mappings_broken",
    "ALARM: mapping files that cannot be used as they are while older ones are in force",
    multiprocess_mode="livemax",
)
FORM_EVENTS = Counter("leadstream_form_events", "Forms found new, changed or archived", ["kind"])
CANARY_RUNS = Counter(
    "leadstream_canary_runs",
    "Runs of the canary, by outcome; in-time of in-time, late and lost is what the objective is about",
    ["form_id", "outcome"],
)
CANARY_SECONDS = Histogram(
    "leadstream_canary_seconds",
    "Of a test lead that came through: each stage, and the whole from Meta to leads.v1",
    ["stage"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
CANARY_ARRIVED = Gauge(
    "leadstream_canary_arrived_seconds",
    "When a test lead last came through in time, in unix seconds",
    ["form_id"],
    multiprocess_mode="max",
)
CANARY_OBJECTIVE = Gauge(
    "leadstream_canary_objective_seconds",
    "Within how many seconds a test lead should come through",
    ["form_id"],
    multiprocess_mode="max",
)
RECONCILE_LEADS = Gauge(
    "leadstream_reconcile_leads",
    "Leads of a form in the last reconciliation: at-meta, had (of those: here, or erased), missed (nobody had told of"
    " them). The first thousand forms; `other` is all beyond",
    ["form_id", "standing"],
    multiprocess_mode="livemax",
)
RECONCILE_COMPLETENESS = Gauge(
    "leadstream_reconcile_completeness",
    "Had of at-meta, 0 to 1, of the same forms where they have leads",
    ["form_id"],
    multiprocess_mode="livemax",
)
RECONCILE_UNREAD = Gauge(
    "leadstream_reconcile_unread",
    "ALARM: pages and forms that the last reconciliation could not read",
    multiprocess_mode="livemax",
)
RECONCILED_AT = Gauge(
    "leadstream_reconciled_seconds",
    "When the last reconciliation was over, in unix seconds",
    multiprocess_mode="max",
)
CONNECT_RESTARTS = Counter("leadstream_connect_restarts", "Restarts of failed connectors and tasks", ["connector"])
CONNECT_FAILED = Gauge(
    "leadstream_connect_failed",
    "ALARM: connectors and tasks that are failed",
    ["connector"],
    multiprocess_mode="livemax",
)
LEAD_SECONDS = Histogram(
    "leadstream_lead_seconds",
    "From the door's receipt to the lead's acknowledgement on its topic",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
RESTARTS = Counter("leadstream_restarts", "Processes started again by their parent after they ended", ["program"])


def log(level: Level, event: Event, **ids: str | float | None) -> None:
    """One line of JSON on stderr. `ids` are ids, counts and words from closed lists."""
    getattr(_logger, level)(event, **ids)


def start_logging(process: str) -> None:
    """Once per process, before anything is logged; libraries are heard from warnings upwards.

    A library's record carries only its logger's name: its text may hold a URL with a token or a record's value.
    """

    def name_process(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process  # not from a context: libraries warn from threads of their own
        return event

    structlog.configure(
        processors=[
            name_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_LibraryRecords()], level=logging.WARNING, force=True)


class _LibraryRecords(logging.Handler):
    """One line a minute for each place in a library: a client whose broker is away warns ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        where = f"{record.module}:{record.lineno}"
        if record.created - self._said.get(where, -_SAY_EVERY) < _SAY_EVERY:
            self._unsaid[where] = self._unsaid.get(where, 0) + 1
            return
        self._said[where] = record.created
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        _logger.warning("library", library=record.name, where=where, error=error, unsaid=self._unsaid.pop(where, 0))


_SAY_EVERY = 60.0
_logger = structlog.get_logger()
