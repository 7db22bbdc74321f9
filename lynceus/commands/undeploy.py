"""`lynceus undeploy`: a stage taken away from AWS, its memory left."""

from __future__ import annotations

import argparse

from lynceus.output import DONE, NO, USAGE, Output

HELP = "take a stage away from AWS; its ledger and secrets stay"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lynceus undeploy` takes."""
    parser.add_argument("--stage", default="dev", help="the stage (dev)")
    parser.add_argument("--profile", help="AWS profile (AWS_PROFILE)")
    parser.add_argument("--region", help="AWS region (the profile's)")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace, out: Output) -> int:
    """Remove functions, queues, alarms and logs; say what is kept and how to lose that too."""
    from lynceus.packaging import deployments
    from lynceus.packaging.stacks import asked, session_of

    session = session_of(options.profile, options.region)
    if not session.region_name:
        out.error("no region", "say --region, or set AWS_DEFAULT_REGION or the profile's region")
        return USAGE
    account = asked(session.client("sts").get_caller_identity)["Account"]
    question = f"remove stage {options.stage} from account {account}, region {session.region_name}?"
    if not out.confirm(question, yes=options.yes):
        return NO
    stays = deployments.undeploy(session, options.stage, out.line)
    if not out.human:
        out.data({"stage": options.stage, "kept": stays})
        return DONE
    if not stays:
        out.line(f"nothing of stage {options.stage} is left")
        return DONE
    out.line("kept:")
    for line in stays:
        out.line(f"  {line}")
    out.line('to lose these too: docs/operate.md, "Removing a stage for good"')
    return DONE
