"""NetworkPolicies as a cluster enforces them, over the pods of an overlay and outsiders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.slow.deploy.manifests import Manifest, Overlay


@dataclass(frozen=True)
class Endpoint:
    """A pod, of the overlay's namespace unless `namespace` gives another one's labels; or an IP."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] | None = None
    address: str = ""


@dataclass(frozen=True)
class Network:
    """The policies of an overlay."""

    policies: Sequence[Manifest]

    @classmethod
    def of(cls, overlay: Overlay) -> "Network":
        return cls([one["spec"] for one in overlay.of_kind("NetworkPolicy")])

    def may_connect(self, source: Endpoint, target: Endpoint, port: int) -> bool:
        """Tells whether both ends allow it; an end outside the namespace is not asked."""
        return self._allows("Egress", source, target, port) and self._allows(
            "Ingress", target, source, port
        )

    def _allows(self, way: str, own: Endpoint, other: Endpoint, port: int) -> bool:
        if own.namespace is not None or own.address:
            return True
        bound = [
            policy
            for policy in self.policies
            if way in policy["policyTypes"] and selects(policy["podSelector"], own.labels)
        ]
        rules = [rule for policy in bound for rule in policy.get(way.lower(), [])]
        side = "to" if way == "Egress" else "from"
        return not bound or any(
            fits_port(rule["ports"], port) and any(fits(peer, other) for peer in rule[side])
            for rule in rules
        )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tells whether a label selector takes something with these labels."""
    known = {"matchLabels", "matchExpressions"}
    assert selector.keys() <= known, f"a selector of {selector.keys() - known}"
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def fits(peer: Mapping[str, Any], other: Endpoint) -> bool:
    """Tells whether a rule's peer means the endpoint."""
    if "ipBlock" in peer:
        network = ip_network(peer["ipBlock"]["cidr"])
        return bool(other.address) and ip_address(other.address) in network
    if other.address:
        return False
    if "namespaceSelector" in peer:
        inside = other.namespace is not None and selects(peer["namespaceSelector"], other.namespace)
    else:
        inside = other.namespace is None
    return inside and selects(peer.get("podSelector", {}), other.labels)


def fits_port(ports: Iterable[Mapping[str, Any]], port: int) -> bool:
    """Tells whether a rule's ports have this one."""
    return any(one["port"] == port for one in ports)
