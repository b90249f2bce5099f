"""DirectoryService on the wire: proto to use case and back, nothing else."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import ledger_pb2
from safehand.referral.v1 import directory_pb2 as pb
from safehand.referral.v1 import directory_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.sharing_protocol import SignedProtocol
from safehand_formats.succession import SignedSuccession
from safehand_hsds import Report
from safehand_rpc import call
from safehand_rpc.paging import Pager, page_size

from safehand_referral_service import directory_fees, keys, registry, services
from safehand_referral_service.context import Context
from safehand_referral_service.identity_keys import OVERLAP_S, IdentityKey, NextKey
from safehand_referral_service.services import Offer
from safehand_referral_service.wire import agency, mutation, scope

PAGE_DEFAULT, PAGE_MAX = 50, 200
SEARCH_DEFAULT, SEARCH_MAX = 20, 100
IN_FULL: Final = frozenset({"agency", "operator"})
"""Kinds of callers that are told everything that a package says of a service."""


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """Every refusal is a SafehandError from the use case; the chain turns it into a status."""

    def __init__(self, context: Context, pager: Pager) -> None:
        self._context = context
        self._pager = pager

    def RegisterAgency(  # noqa: N802
        self, request: pb.RegisterAgencyRequest, context: Any
    ) -> pb.RegisterAgencyResponse:
        entry = registry.Agency(
            request.agency,
            request.display_name,
            request.identity_key,
            tuple(request.organizations),
        )
        made = registry.register(self._context, mutation(request), entry)
        return pb.RegisterAgencyResponse(agency=_agency(made))

    def GetAgency(  # noqa: N802
        self, request: pb.GetAgencyRequest, context: Any
    ) -> pb.GetAgencyResponse:
        return pb.GetAgencyResponse(agency=_agency(registry.get(self._context, request.agency)))

    def RotateAgencyKey(  # noqa: N802
        self, request: pb.RotateAgencyKeyRequest, context: Any
    ) -> pb.RotateAgencyKeyResponse:
        caller = call.current().principal
        said = request.succession
        signed = SignedSuccession(said.succession, said.signature_old, said.signature_new)
        given = request.HasField("succession")
        if caller.kind == "agency" and (caller.name != request.agency or not given):
            # Only an operator speaks for an agency that has lost its key.
            raise SafehandError(Reason.NOT_ALLOWED)
        wanted = NextKey(
            request.agency,
            request.old_fingerprint,
            request.identity_key,
            request.overlap.seconds if request.HasField("overlap") else OVERLAP_S,
            signed if given else None,
        )
        made = registry.rotate_key(self._context, mutation(request), wanted)
        return pb.RotateAgencyKeyResponse(agency=_agency(made))

    def RevokeAgencyKey(  # noqa: N802
        self, request: pb.RevokeAgencyKeyRequest, context: Any
    ) -> pb.RevokeAgencyKeyResponse:
        left = registry.revoke_key(
            self._context, mutation(request), request.agency, request.fingerprint
        )
        return pb.RevokeAgencyKeyResponse(agency=_agency(left))

    def PublishProtocol(  # noqa: N802
        self, request: pb.PublishProtocolRequest, context: Any
    ) -> pb.PublishProtocolResponse:
        sent = request.protocol
        signed = SignedProtocol(sent.protocol, sent.signature_a, sent.signature_b)
        digest = registry.publish_protocol(self._context, mutation(request), agency(), signed)
        return pb.PublishProtocolResponse(digest=digest)

    def ListProtocols(  # noqa: N802
        self, request: pb.ListProtocolsRequest, context: Any
    ) -> pb.ListProtocolsResponse:
        limit = page_size(request.page_size, default=PAGE_DEFAULT, maximum=PAGE_MAX)
        after = self._pager.position(request, scope=scope()) or ""
        rows = registry.protocols(self._context, agency(), after, limit + 1)
        response = pb.ListProtocolsResponse(
            protocols=[
                pb.SignedProtocol(
                    protocol=signed.protocol_bytes,
                    signature_a=signed.signature_a,
                    signature_b=signed.signature_b,
                )
                for _, signed in rows[:limit]
            ]
        )
        if len(rows) > limit:
            last, _ = rows[limit - 1]
            response.next_page_token = self._pager.token(last, request, scope=scope())
        return response

    def PublishKey(  # noqa: N802
        self, request: pb.PublishKeyRequest, context: Any
    ) -> pb.PublishKeyResponse:
        receipt = request.receipt
        key = keys.PublishedKey(
            SignedKeyRecord(request.record, request.signature),
            keys.KeyReceipt(receipt.index, receipt.leaf, receipt.proof, receipt.salt, receipt.body),
        )
        keys.publish(self._context, mutation(request), agency(), key)
        return pb.PublishKeyResponse()

    def GetKey(self, request: pb.GetKeyRequest, context: Any) -> pb.GetKeyResponse:  # noqa: N802
        key = keys.newest(self._context, request.agency)
        return pb.GetKeyResponse(
            record=key.signed.record_bytes,
            signature=key.signed.signature,
            receipt=ledger_pb2.Receipt(
                index=key.receipt.index,
                leaf=key.receipt.leaf,
                proof=key.receipt.proof,
                salt=key.receipt.salt,
                body=key.receipt.body,
            ),
        )

    def ImportPackage(  # noqa: N802
        self, request: pb.ImportPackageRequest, context: Any
    ) -> pb.ImportPackageResponse:
        files = {file.name: file.content for file in request.files}
        if len(files) != len(request.files):
            raise SafehandError(
                Reason.MALFORMED, "a file is there twice", metadata={"field": "files"}
            )
        report = services.import_package(
            self._context, mutation(request), request.source, files, skip_bad=request.skip_bad
        )
        return _imported(report)

    def SearchServices(  # noqa: N802
        self, request: pb.SearchServicesRequest, context: Any
    ) -> pb.SearchServicesResponse:
        limit = page_size(request.page_size, default=SEARCH_DEFAULT, maximum=SEARCH_MAX)
        position = int(self._pager.position(request, scope=scope()) or 0)
        age = request.age if request.HasField("age") else None
        query = services.Query(
            request.need,
            request.area,
            request.eligibility,
            age,
            request.language,
            request.free_first,
        )
        found = services.search(self._context, query, position, limit)
        response = pb.SearchServicesResponse(services=map(_told, found.offers), total=found.total)
        if found.next_position is not None:
            following = str(found.next_position)
            response.next_page_token = self._pager.token(following, request, scope=scope())
        return response

    def GetService(  # noqa: N802
        self, request: pb.GetServiceRequest, context: Any
    ) -> pb.GetServiceResponse:
        return pb.GetServiceResponse(service=_told(services.get(self._context, request.service)))

    def SetServiceNeeds(  # noqa: N802
        self, request: pb.SetServiceNeedsRequest, context: Any
    ) -> pb.SetServiceNeedsResponse:
        categories = services.set_needs(
            self._context, mutation(request), request.service, request.categories
        )
        return pb.SetServiceNeedsResponse(categories=categories)

    def SetConfidential(  # noqa: N802
        self, request: pb.SetConfidentialRequest, context: Any
    ) -> pb.SetConfidentialResponse:
        shown = services.set_confidential(
            self._context,
            mutation(request),
            request.service,
            confidential=request.confidential,
            phone=request.phone,
        )
        return pb.SetConfidentialResponse(service=None if shown is None else _entry(shown))


def _agency(entry: registry.Agency) -> pb.Agency:
    return pb.Agency(
        agency=entry.agency,
        display_name=entry.display_name,
        identity_key=entry.identity_key,
        organizations=entry.organizations,
        identity_keys=map(_identity_key, entry.keys),
    )


def _identity_key(key: IdentityKey) -> pb.IdentityKey:
    out = pb.IdentityKey(identity_key=key.public, not_before=Timestamp(seconds=key.not_before))
    if key.retired_at is not None:
        out.retired_at.seconds = key.retired_at
    if key.revoked_at is not None:
        out.revoked_at.seconds = key.revoked_at
    return out


def _imported(report: Report) -> pb.ImportPackageResponse:
    return pb.ImportPackageResponse(
        counts=[
            pb.FileCount(
                name=count.file,
                rows_in=count.rows_in,
                rows_stored=count.rows_ok,
                rows_reported=count.rows_reported,
            )
            for count in report.files
        ],
        problems=[
            pb.PackageProblem(
                file=problem.file,
                line=problem.line,
                column=problem.column,
                code=problem.code.value,
                message=problem.message,
            )
            for problem in report.problems
        ],
    )


def _told(offer: Offer) -> pb.ServiceEntry:
    """What the caller is told: free words about a secret place reach nobody but agencies, who
    refer to it, and the operator who marks it."""
    entry = _entry(offer)
    if offer.service.withheld and call.current().principal.kind not in IN_FULL:
        entry.description = entry.fees = ""
        entry.free = False
        del entry.eligibility[:]
    return entry


def _entry(offer: Offer) -> pb.ServiceEntry:
    service = offer.service
    return pb.ServiceEntry(
        service=service.id,
        name=service.name,
        organization_name=service.organization_name,
        description=service.description,
        needs=service.needs,
        areas=service.areas,
        eligibility=service.eligibility,
        minimum_age=service.min_age,
        maximum_age=service.max_age,
        phones=[phone.number for phone in service.phones],
        agency=offer.agency,
        categories=service.categories,
        addresses=service.addresses,
        languages=service.languages,
        confidential=service.confidential,
        last_checked=service.last_checked,
        fees=service.fees,
        free=directory_fees.is_free(service.fees),
    )
