"""`lynceus deploy`: resources, package and functions of a stage to AWS, or what that would do."""

from __future__ import annotations

import argparse
from typing import Any

from lynceus.output import DONE, USAGE, Output

HELP = "deploy a stage to AWS with CloudFormation, after showing what changes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lynceus deploy` takes."""
    parser.add_argument("--stage", default="dev", help="a stage of .chalice/config.json (dev)")
    parser.add_argument("--profile", help="AWS profile (AWS_PROFILE)")
    parser.add_argument("--region", help="AWS region (the profile's)")
    parser.add_argument("--cluster", help="EKS cluster to submit to; written into .chalice/config.json")
    parser.add_argument(
        "--no-access-entries",
        action="store_true",
        help="leave it to you to let the functions into the cluster (docs/deploy.md)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of infra/resources.yaml or infra/overlay.yaml; kept for later deployments",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would change and stop")


def run(options: argparse.Namespace, out: Output) -> int:
    """Plan, show, and unless it is a dry run carry out."""
    from lynceus.packaging import deployments, projects
    from lynceus.packaging.stacks import session_of

    parameters = dict(word.partition("=")[::2] for word in options.set)
    if not all("=" in word for word in options.set):
        out.error("--set takes NAME=VALUE", "for example --set AlarmEmail=ops@example.org")
        return USAGE
    session = session_of(options.profile, options.region)
    if not session.region_name:
        out.error("no region", "say --region, or set AWS_DEFAULT_REGION or the profile's region")
        return USAGE
    if options.cluster:
        deployments.use_cluster(session, options.stage, options.cluster)
    deployments.check(session, options.stage, access_entries=not options.no_access_entries)
    variables = projects.configuration(options.stage)["environment_variables"]
    cluster = "" if options.no_access_entries else variables["LYNCEUS_CLUSTER_NAME"]
    planned = deployments.plan(session, options.stage, {"ClusterName": cluster, **parameters}, out.line)
    _show(planned, out)
    if options.dry_run:
        return DONE
    url = deployments.deploy(session, planned, out.line)
    _done(options, variables, url, out)
    return DONE


def _show(planned: Any, out: Output) -> None:
    if not out.human:
        return
    out.line(f"account {planned.account}, region {planned.region}, stage {planned.names.stage}")
    rows = [
        {"stack": stack, "action": change.action, "resource": change.resource, "kind": change.kind}
        for stack, found in (
            (planned.names.resources, planned.resource_changes),
            (planned.names.functions, planned.function_changes),
        )
        for change in found
    ]
    if rows:
        out.table(rows, ["stack", "action", "resource", "kind"])
    else:
        out.line("nothing changes but code and parameters, if those do")


def _done(options: argparse.Namespace, variables: dict[str, str], url: str, out: Output) -> None:
    stage = options.stage
    namespace = (variables.get("LYNCEUS_NAMESPACES") or "argo").partition(",")[0]
    if not out.human:
        out.data({"stage": stage, "webhookURL": url})
        return
    out.line("")
    out.line(f"webhook URL: {url}{namespace}/")
    out.line("next:")
    out.line("  kubectl apply -k infra/kubernetes")
    account = f"AWS_PROFILE={options.profile} " if options.profile else ""
    account += f"AWS_REGION={options.region} " if options.region else ""
    out.line(
        f"  {account}python -m lynceus clients put github.com --type github --stage {stage} -n {namespace}"
    )
    out.line(f"  python -m lynceus send github push --to {url}{namespace}/ --secret-file -")
