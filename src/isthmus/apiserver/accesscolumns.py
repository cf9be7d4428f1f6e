"""The columns of bindings and admission policies."""

from datetime import datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cells import AGE, Cell, field, selector_text, shown, wide

UNSET = "<unset>"


def _role(manifest: Manifest, _: datetime) -> object:
    role = manifest.get("roleRef") or {}
    return f"{role.get('kind', '')}/{role.get('name', '')}"


def _subjects(kind: str) -> Cell:
    def cell(manifest: Manifest, _: datetime) -> object:
        named = [each for each in manifest.get("subjects") or () if each.get("kind") == kind]
        home = kind == "ServiceAccount"
        return ", ".join(f"{each.get('namespace', '')}/{each['name']}" if home else each["name"] for each in named)

    return cell


def _validations(manifest: Manifest, _: datetime) -> object:
    return len((manifest.get("spec") or {}).get("validations") or ())


def _param_kind(manifest: Manifest, _: datetime) -> object:
    wanted = (manifest.get("spec") or {}).get("paramKind")
    return f"{wanted.get('apiVersion', '')}/{wanted.get('kind', '')}" if wanted else UNSET


def _param(manifest: Manifest, _: datetime) -> object:
    wanted = (manifest.get("spec") or {}).get("paramRef") or {}
    if wanted.get("name"):
        return f"{wanted.get('namespace') or '*'}/{wanted['name']}"
    return selector_text(wanted["selector"]) if wanted.get("selector") is not None else UNSET


ROLES = (shown("Created At", field("metadata.creationTimestamp"), "date"),)
BINDINGS = (
    shown("Role", _role),
    AGE,
    wide("Users", _subjects("User")),
    wide("Groups", _subjects("Group")),
    wide("ServiceAccounts", _subjects("ServiceAccount")),
)
POLICIES = (shown("Validations", _validations, "integer"), shown("ParamKind", _param_kind), AGE)
POLICY_BINDINGS = (shown("PolicyName", field("spec.policyName", "")), shown("ParamRef", _param), AGE)
