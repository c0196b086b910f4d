"""Every RPC of a running suite, as its servers name them: a new one cannot be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)

from deploy.embedded.stack import Stack
from libs.rpc import OPEN_SERVICES
from tally.common.v1.options_pb2 import SCOPE_INTERNAL, scope


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC of one service."""

    service: str  # The process that answers: "rating".
    descriptor: MethodDescriptor

    def __str__(self) -> str:
        return f"{self.service}: {self.descriptor.full_name}"

    @property
    def path(self) -> str:
        """As gRPC names it: "/tally.rating.v1.MeterService/GetMeter"."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def key(self) -> str:
        """As the table of good requests names it: "rating.v1.MeterService.GetMeter"."""
        return str(self.descriptor.full_name).removeprefix("tally.")

    @property
    def ours(self) -> bool:
        """Whether our code answers it; health and reflection come with gRPC."""
        return not self.path.startswith(OPEN_SERVICES)

    @property
    def internal(self) -> bool:
        """Whether only the suite itself may call it."""
        return bool(self.descriptor.GetOptions().Extensions[scope] == SCOPE_INTERNAL)

    @property
    def changes(self) -> bool:
        """Whether it may store something."""
        fields = self.descriptor.input_type.fields_by_name
        others = {"RecordColumns", "RecordEvents", "StreamEvents", "ResubmitRejected"}
        others |= {"ApplyCredits", "ReturnCredits"}
        return "request_id" in fields or self.descriptor.name in others

    @property
    def request_type(self) -> type[Message]:
        """The class of its requests."""
        return GetMessageClass(self.descriptor.input_type)

    @property
    def answer_type(self) -> type[Message]:
        """The class of its answers."""
        return GetMessageClass(self.descriptor.output_type)


def methods_of(stack: Stack) -> list[Method]:
    """Return every RPC that the four servers have, by asking their reflection.

    Raises:
        KeyError: a server has a service of which no contract is known here.
    """
    known: Any = descriptor_pool.Default()
    found = []
    for name, address in sorted(stack.addresses.items()):
        with grpc.insecure_channel(address) as channel:
            served = ProtoReflectionDescriptorDatabase(channel).get_services()
        for service in sorted(served):
            for method in known.FindServiceByName(service).methods:
                found.append(Method(name, method))
    return found
