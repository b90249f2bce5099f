"""The typed client for agencies: it seals, opens, and verifies before it believes.

Public: ``AgencyClient`` (an agency's system), ``SurvivorClient`` (what the portal does for her),
``GuardianClient`` (what it does for a guardian), ``OperatorClient`` (operator commands),
``OversightClient`` (holds her receipt against all leaves), ``Verdict`` (may we, and why not),
``Party`` (a folder with one party's keys and trust).
Everything under ``_internal`` may change.
"""

from safehand_client._internal.opening import Fetched, Opened
from safehand_client._internal.questions import Circumstances
from safehand_client._internal.sending import Sent
from safehand_client._internal.verdict import Outcome, Verdict
from safehand_client.agency import AgencyClient
from safehand_client.auditor import OversightClient
from safehand_client.guardian import GuardianClient
from safehand_client.operator import OperatorClient
from safehand_client.party import Addresses, Party
from safehand_client.survivor import SurvivorClient

__all__ = [
    "Addresses",
    "AgencyClient",
    "Circumstances",
    "Fetched",
    "GuardianClient",
    "Opened",
    "OperatorClient",
    "Outcome",
    "OversightClient",
    "Party",
    "Sent",
    "SurvivorClient",
    "Verdict",
]
