"""What to ask the Graph API, and how to read what it says. Performs no I/O of its own.

`asks` says what to ask, `answers` reads what comes back, `usage` the budgets in its headers, `access` and
`subscriptions` ask about access itself, `accounts` sets pages up, `forms` makes a form's snapshot, `text` is the way
from bytes to JSON. Ids are strings, and integers never pass through a float.
"""

from ingest.meta.graph.access import (
    LeadAccess,
    PageNode,
    TokenFacts,
    app_key,
    ask_lead_access,
    ask_page_node,
    ask_token,
    read_lead_access,
    read_page_node,
    read_token,
    read_token_facts,
)
from ingest.meta.graph.accounts import (
    Account,
    ask_accounts,
    ask_callback,
    ask_exchange,
    ask_install,
    read_accounts,
    read_exchange,
    read_success,
)
from ingest.meta.graph.answers import Answer, Page, read_answer, read_batch, read_page
from ingest.meta.graph.asks import (
    BATCH_SIZE,
    FORM_FIELDS,
    FORM_TYPE,
    FORMS_AT_ONCE,
    LEAD_FIELDS,
    REDUCED_LEAD_FIELDS,
    Ask,
    Key,
    appsecret_proof,
    ask_batch,
    ask_form,
    ask_forms,
    ask_lead,
)
from ingest.meta.graph.export import BadAddress, FormExport, ask_export, read_address
from ingest.meta.graph.forms import Snapshot, snapshot
from ingest.meta.graph.sample import (
    Sample,
    ask_form_with_leads,
    ask_sample,
    read_form_with_leads,
    read_sample,
)
from ingest.meta.graph.subscriptions import (
    Installed,
    Subscription,
    ask_subscribed_apps,
    ask_subscriptions,
    read_subscribed_apps,
    read_subscriptions,
)
from ingest.meta.graph.text import Json, JsonObject
from ingest.meta.graph.usage import BusinessUse, Load, Usage, read_usage

__all__ = [
    "BATCH_SIZE",
    "FORMS_AT_ONCE",
    "FORM_FIELDS",
    "FORM_TYPE",
    "LEAD_FIELDS",
    "REDUCED_LEAD_FIELDS",
    "Account",
    "Answer",
    "Ask",
    "BadAddress",
    "BusinessUse",
    "FormExport",
    "Installed",
    "Json",
    "JsonObject",
    "Key",
    "LeadAccess",
    "Load",
    "Page",
    "PageNode",
    "Sample",
    "Snapshot",
    "Subscription",
    "TokenFacts",
    "Usage",
    "app_key",
    "appsecret_proof",
    "ask_accounts",
    "ask_batch",
    "ask_callback",
    "ask_exchange",
    "ask_export",
    "ask_form",
    "ask_form_with_leads",
    "ask_forms",
    "ask_install",
    "ask_lead",
    "ask_lead_access",
    "ask_page_node",
    "ask_sample",
    "ask_subscribed_apps",
    "ask_subscriptions",
    "ask_token",
    "read_accounts",
    "read_address",
    "read_answer",
    "read_batch",
    "read_exchange",
    "read_form_with_leads",
    "read_lead_access",
    "read_page",
    "read_page_node",
    "read_sample",
    "read_subscribed_apps",
    "read_subscriptions",
    "read_success",
    "read_token",
    "read_token_facts",
    "read_usage",
    "snapshot",
]
