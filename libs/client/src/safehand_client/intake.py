"""The intake form, cut into parts by the labels on its schema (DESIGN 3.3).

A part holds exactly the fields that the schema annotates with its category; nobody chooses
fields by hand, so nothing slips into a part under another label.
"""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.message import Message
from safehand.common.v1 import labels_pb2
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

SCHEMA_VERSION: int = IntakeForm.DESCRIPTOR.GetOptions().Extensions[labels_pb2.intake_schema]
"""The ``schema`` number of part labels."""


def category_of(field_name: str) -> str:
    """The category code of a top-level field of the form."""
    options = IntakeForm.DESCRIPTOR.fields_by_name[field_name].GetOptions()
    name = labels_pb2.DataCategory.Name(options.Extensions[labels_pb2.category])
    return name.removeprefix("DATA_CATEGORY_")


def categories_in(form: IntakeForm) -> list[str]:
    """Codes of the categories in which ``form`` says anything, sorted."""
    return sorted({category_of(field.name) for field, _ in form.ListFields()})


def project(form: IntakeForm, category: str) -> bytes:
    """The serialised part of ``form`` that belongs to ``category``; may be empty."""
    return narrowed(form, (category,)).SerializeToString(deterministic=True)


def narrowed(form: IntakeForm, categories: Collection[str]) -> IntakeForm:
    """``form`` with the fields of ``categories`` alone."""
    kept = IntakeForm()
    kept.CopyFrom(form)
    kept.DiscardUnknownFields()
    for field, _ in form.ListFields():
        if category_of(field.name) not in categories:
            kept.ClearField(field.name)  # type: ignore[arg-type]
    return kept


def parse(content: bytes, category: str) -> IntakeForm:
    """The form of one part; raises MANIFEST_MISMATCH if it holds another category's fields."""
    form = IntakeForm()
    try:
        form.ParseFromString(content)
    except Exception as error:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "a part is not an intake form") from error
    if _has_unknown(form) or project(form, category) != form.SerializeToString(deterministic=True):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "a part holds fields of another category")
    return form


def _has_unknown(message: Message) -> bool:
    before = message.ByteSize()
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.ByteSize() != before
