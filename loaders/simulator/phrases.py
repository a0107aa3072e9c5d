"""What people write and buy: the organisations, products and phrases of the simulated desk.

Data only. Short on purpose, so that the committed sample stays small. Mail addresses use the reserved
example.com. Called by `lives` and `crm`.
"""

from __future__ import annotations

from typing import NamedTuple


class Org(NamedTuple):
    """An organisation, its service level and the UTC offset (hours) in which its desk writes timestamps."""

    org_id: str
    sla_tier: str
    utc_offset_hours: int


class Phrase(NamedTuple):
    """A subject with its description; `{email}` stands for the customer's address."""

    subject: str
    description: str
    pii_level: str


ORGS = (
    Org("org-aurora", "gold", 0),
    Org("org-bakerline", "silver", 0),
    Org("org-cobalt", "bronze", 0),
    Org("org-delta-rail", "gold", -5),
    Org("org-evergreen", "silver", 0),
    Org("org-fjord", "bronze", 0),
    Org("org-golden-gate", "silver", -5),
    Org("org-harbour", "gold", 8),
    Org("org-ironbark", "bronze", 0),
    Org("org-jade", "silver", 8),
    Org("org-kestrel", "bronze", 0),
    Org("org-lumen", "gold", 0),
)
PRODUCTS = (
    (40, ("northstar_workspace", ("5.1", "5.2"))),
    (28, ("northstar_edge_gateway", ("2.8", "2.9", "3.0"))),
    (22, ("northstar_studio", ("1.4", "1.5"))),
    (10, ("cross_product", ("2026.1",))),
)
PRIORITIES = ((6, "P1"), (20, "P2"), (44, "P3"), (30, "P4"))
SLA_HOURS = {"P1": 4, "P2": 24, "P3": 72, "P4": 120}
CATEGORIES = ("access", "billing", "connectivity", "data_sync", "performance")
ERROR_CODES = ("NS-1001", "NS-1042", "NS-2007", "NS-3110", "NS-4290")
CUSTOMERS = ("ana", "bo", "chen", "dara", "elif", "femi", "gus", "hana")
AGENTS = ("agent-01", "agent-02", "agent-03", "agent-04", "agent-05", "agent-06")
EXPERTS = ("expert-01", "expert-02")
PHRASES = {
    "access": (
        Phrase("Cannot sign in", "Login loops after the password page.", "none"),
        Phrase("Invite never arrives", "Please resend the invite to {email}.", "low"),
        Phrase("Account locked", "Locked after three tries, my login is {email}.", "low"),
    ),
    "billing": (
        Phrase("Invoice shows the wrong seats", "We have 40 seats, billed for 44.", "none"),
        Phrase("Change of billing contact", "New contact is {email}, phone +1 555 0100.", "high"),
    ),
    "connectivity": (
        Phrase("Gateway drops every hour", "Tunnel resets at minute 59.", "none"),
        Phrase("VPN certificate expired", "Handshake fails since this morning.", "none"),
    ),
    "data_sync": (
        Phrase("Sync stuck at 99 %", "Last good sync was yesterday.", "none"),
        Phrase("Duplicate rows after import", "Every row came twice.", "none"),
        Phrase("Export misses attachments", "Send the full archive to {email}.", "low"),
    ),
    "performance": (
        Phrase("Dashboards load slowly", "More than 30 s for one page.", "none"),
        Phrase("Timeouts under load", "Requests fail from 200 users on.", "none"),
    ),
}
