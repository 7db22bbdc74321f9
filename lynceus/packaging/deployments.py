"""One stage on AWS: the stack of resources, the package in its bucket, the stack of functions, in this order.

Every step may be done again: a stack is created or updated, a package has its content in its name. So whatever
a broken run left behind, the next one completes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from chalicelib.core.errors import Misconfigured
from lynceus.packaging import projects
from lynceus.packaging.projects import ROOT, Package, configuration
from lynceus.packaging.stacks import Change, Stacks, asked, changes, kept, policy, refusals
from lynceus.packaging.templates import effective, load

UNRESERVED = 100  # concurrent executions that AWS keeps free of reservations


@dataclass(frozen=True)
class Names:
    """What a stage is called on AWS."""

    stage: str

    @property
    def resources(self) -> str:
        """The stack of what outlives the code."""
        return f"lynceus-{self.stage}-resources"

    @property
    def functions(self) -> str:
        """The stack of the functions and the API."""
        return f"lynceus-{self.stage}"


@dataclass(frozen=True)
class Plan:
    """What a deployment would do, before it does any of it."""

    names: Names
    account: str
    region: str
    resources: Mapping[str, Any]  # the template
    package: Package
    functions: Mapping[str, Any]  # the template, without the package's place
    parameters: Mapping[str, str]  # those that were given; the others keep their values
    resource_changes: list[Change]
    function_changes: list[Change]


def use_cluster(session: Any, stage: str, name: str, root: Path = ROOT) -> None:
    """Write the EKS cluster's name, endpoint and CA into the stage of .chalice/config.json."""
    cluster = asked(lambda: session.client("eks").describe_cluster(name=name))["cluster"]
    path = root / ".chalice/config.json"
    document = json.loads(path.read_text())
    document["stages"][stage]["environment_variables"].update(
        LYNCEUS_CLUSTER_NAME=name,
        LYNCEUS_CLUSTER_ENDPOINT=cluster["endpoint"],
        LYNCEUS_CLUSTER_CA=cluster["certificateAuthority"]["data"],
    )
    path.write_text(json.dumps(document, indent=2) + "\n")


def check(session: Any, stage: str, *, access_entries: bool, root: Path = ROOT) -> None:
    """Raise Misconfigured for what would fail half way: no cluster, no room for the reserved concurrency."""
    stage_settings = configuration(stage, root)
    variables = stage_settings.get("environment_variables", {})
    name = variables.get("LYNCEUS_CLUSTER_NAME")
    if not name or not variables.get("LYNCEUS_CLUSTER_ENDPOINT"):
        raise Misconfigured(
            f'stage "{stage}" has no cluster: name it once with --cluster (make deploy STAGE={stage} CLUSTER=…)'
        )
    if access_entries:
        cluster = asked(lambda: session.client("eks").describe_cluster(name=name))["cluster"]
        if cluster.get("accessConfig", {}).get("authenticationMode") == "CONFIG_MAP":
            raise Misconfigured(
                f"cluster {name} knows no access entries: aws eks update-cluster-config --name {name} "
                "--access-config authenticationMode=API_AND_CONFIG_MAP, or deploy with --no-access-entries"
            )
    reserved = {
        function: settings["reserved_concurrency"]
        for function, settings in stage_settings.get("lambda_functions", {}).items()
        if "reserved_concurrency" in settings
    }
    free, ours = _concurrency(session, Names(stage), reserved)
    if free is not None and free + ours - sum(reserved.values()) < UNRESERVED:
        raise Misconfigured(
            f"stage {stage} reserves {sum(reserved.values())} concurrent executions, the account has {free} "
            f"unreserved and must keep {UNRESERVED}: ask for more (Service Quotas, Lambda, Concurrent executions) or "
            "lower reserved_concurrency in .chalice/config.json"
        )


def _concurrency(session: Any, names: Names, functions: Mapping[str, int]) -> tuple[int | None, int]:
    """Unreserved executions of the account, None where AWS does not say, and what this stage has reserved already."""
    client = session.client("lambda")
    try:
        free = int(asked(client.get_account_settings)["AccountLimit"]["UnreservedConcurrentExecutions"])
    except Misconfigured:
        return None, 0  # whoever deploys may lack this one right
    ours = 0
    for function in functions:
        name = names.functions if function == "api_handler" else f"{names.functions}-{function}"
        try:
            answer = asked(partial(client.get_function_concurrency, FunctionName=name))
        except Misconfigured:
            continue  # not there yet
        ours += int(answer.get("ReservedConcurrentExecutions", 0))
    return free, ours


def plan(
    session: Any,
    stage: str,
    parameters: Mapping[str, str],
    told: Callable[[str], None],
    root: Path = ROOT,
    make: Callable[[str], Package] = projects.package,
) -> Plan:
    """Make the package and compare both templates, as the parameters make them, with what is deployed.

    Raises Misconfigured for a parameter that neither template has, and for a template that would replace or remove
    what holds messages or items.
    """
    names = Names(stage)
    identity = asked(session.client("sts").get_caller_identity)
    stacks = Stacks(session.client("cloudformation"), told)
    resources = load(root / "infra" / "resources.yaml")
    known = {*resources["Parameters"], *load(root / "infra" / "overlay.yaml")["Parameters"]} - {"Stage"}
    for name in parameters:
        if name not in known:
            raise Misconfigured(f"there is no parameter {name}: --set takes {', '.join(sorted(known))}")
    before = stacks.template(names.resources)
    refused = refusals(before, resources)
    if refused:
        listed = ", ".join(f"{change.action} {change.resource}" for change in refused)
        raise Misconfigured(
            f"the template would {listed} in {names.resources}, which holds messages or items: "
            "take that change out of infra/resources.yaml, or make another stage (docs/operate.md, Copying a stage)"
        )
    made = make(stage)
    functions = load(made.template)

    def compared(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[Change]:
        values = stacks.parameters(name)
        return changes(effective(old or {}, values), effective(new, {**values, **parameters}))

    return Plan(
        names,
        identity["Account"],
        session.region_name,
        resources,
        made,
        functions,
        parameters,
        compared(names.resources, before, resources),
        compared(names.functions, _without_code(stacks.template(names.functions)), placed(functions, "", "")),
    )


def deploy(session: Any, planned: Plan, told: Callable[[str], None]) -> str:
    """Carry the plan out and return the webhook URL."""
    names = planned.names
    parameters = {**planned.parameters, "Stage": names.stage}
    stacks = Stacks(session.client("cloudformation"), told)
    told(f"{names.resources}: {_counted(planned.resource_changes)}")
    stacks.apply(
        names.resources,
        planned.resources,
        {"TemplateBody": (ROOT / "infra" / "resources.yaml").read_text()},
        parameters,
        stack_policy=policy(planned.resources),
    )
    bucket = stacks.outputs(names.resources)["ArtefactsBucket"]
    storage = session.client("s3")
    artefact = planned.package.artefact
    key = f"functions/{artefact.digest}.zip"
    if not _there(storage, bucket, key):
        told(f"uploading {artefact.bytes_zipped / 1e6:.1f} MB")
        asked(lambda: storage.upload_file(str(artefact.path), bucket, key))
    template = placed(planned.functions, bucket, key)
    body = yaml.dump(template, Dumper=projects.Plain)
    template_key = f"templates/{names.stage}-{artefact.digest[:16]}.yaml"
    asked(lambda: storage.put_object(Bucket=bucket, Key=template_key, Body=body.encode()))
    told(f"{names.functions}: {_counted(planned.function_changes)}")
    url = f"https://{bucket}.s3.{planned.region}.amazonaws.com/{template_key}"
    stacks.apply(names.functions, template, {"TemplateURL": url}, parameters)
    return stacks.outputs(names.functions)["WebhookURL"]


def placed(template: Mapping[str, Any], bucket: str, key: str) -> dict[str, Any]:
    """The template with the functions' code taken from the bucket."""
    resources = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = {**resource["Properties"], "CodeUri": {"Bucket": bucket, "Key": key}}
            resource = {**resource, "Properties": properties}
        resources[name] = resource
    return {**template, "Resources": resources}


def undeploy(session: Any, stage: str, told: Callable[[str], None]) -> list[str]:
    """Take the stage away but what is to be kept, and return what stays, line by line."""
    names = Names(stage)
    stacks = Stacks(session.client("cloudformation"), told)
    if stacks.delete(names.functions):
        told(f"{names.functions}: removed")
    before = stacks.template(names.resources)
    stays = []
    if before is not None:
        bucket = stacks.outputs(names.resources).get("ArtefactsBucket")
        if bucket:
            _empty(session, bucket)
        remaining = kept(before)
        everything = json.dumps(
            {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}]}
        )
        stacks.apply(
            names.resources, remaining, {"TemplateBody": json.dumps(remaining)}, {}, during=everything
        )
        told(f"{names.resources}: removed all but {', '.join(sorted(remaining['Resources']))}")
        stays += [
            f"table lynceus-{stage}-ledger, with its backups",
            f"key alias/lynceus-{stage}, which opens it",
        ]
        stays += [f"stack {names.resources}, which holds them for the next deployment"]
    prefix = f"lynceus-{stage}/"
    secrets = session.client("secretsmanager")
    pages = secrets.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [prefix]}])
    stays += [
        f"secret {secret['Name']}" for page in asked(lambda: list(pages)) for secret in page["SecretList"]
    ]
    return stays


def _empty(session: Any, bucket: str) -> None:
    storage = session.client("s3")
    pages = storage.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for page in asked(lambda: list(pages)):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
        if keys:
            asked(partial(storage.delete_objects, Bucket=bucket, Delete={"Objects": keys}))


def _there(storage: Any, bucket: str, key: str) -> bool:
    try:
        asked(lambda: storage.head_object(Bucket=bucket, Key=key))
    except Misconfigured:
        return False
    return True


def _without_code(template: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The template as far as it says what there will be: code is another question."""
    return None if template is None else placed(template, "", "")


def _counted(found: list[Change]) -> str:
    counts = {
        action: sum(change.action == action for change in found)
        for action in ("create", "change", "replace", "remove")
    }
    return (
        ", ".join(f"{action} {count}" for action, count in counts.items() if count)
        or "only code, if anything"
    )
