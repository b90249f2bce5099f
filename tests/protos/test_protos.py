"""What the protos promise: labels, request ids, no drift, reserved things answer nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from google.protobuf import descriptor_pb2, descriptor_pool
from safehand.common.v1 import labels_pb2
from safehand.consent.v1 import consent_pb2
from safehand.intake.v1 import intake_pb2
from safehand_core.words import CATEGORIES

REPO = Path(__file__).resolve().parents[2]


def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protos_check", REPO / "protos" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_code_is_current() -> None:
    assert check().drift() == []


def test_every_intake_field_is_labelled() -> None:
    assert check().unlabelled(intake_pb2.DESCRIPTOR) == []


def test_the_lint_finds_a_field_without_labels() -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name="unlabelled.proto", package="test", syntax="proto3"
    )
    message = file.message_type.add(name="Form")
    message.field.add(
        name="secret",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    assert check().unlabelled(pool.FindFileByName("unlabelled.proto")) == ["test.Form.secret"]


def test_every_mutation_has_a_request_id() -> None:
    module = check()
    assert [name for file in module.descriptors() for name in module.without_request_id(file)] == []


def test_categories_are_the_same_everywhere() -> None:
    names = {name.removeprefix("DATA_CATEGORY_") for name in list(labels_pb2.DataCategory.keys())}
    assert names - {"UNSPECIFIED"} == set(CATEGORIES)


def test_no_method_of_a_later_issue_is_served() -> None:
    methods = set(consent_pb2.DESCRIPTOR.services_by_name["ConsentService"].methods_by_name)
    assert not methods & {"Recall", "EraseSubject"}
