"""moto as far as CloudFormation and API Gateway need it: what AWS does with a template before it makes anything."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import moto.cloudformation.models as cloudformation
import moto.cloudformation.parsing as parsing
from moto.apigateway.models import APIGatewayBackend
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

# moto's CloudFormation takes a minimal RestApi only, and knows nothing of these.
UNKNOWN = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::SecurityGroup",
    "AWS::EKS::AccessEntry",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
}


def transformed(template: dict[str, Any], region: str = "us-east-1") -> dict[str, Any]:
    """The template as the SAM macro of CloudFormation writes it out."""
    draft = copy.deepcopy(template)
    parameters = {
        name: parameter.get("Default", "") for name, parameter in draft.get("Parameters", {}).items()
    }
    with mock.patch.dict("os.environ", AWS_DEFAULT_REGION=region):
        translated = Translator({}, Parser()).translate(draft, parameters)
    done: dict[str, Any] = translated
    return done


@contextmanager
def stacks_with_sam() -> Iterator[None]:
    """moto's stacks with the SAM macro, and without the kinds that moto does not know."""
    plain = cloudformation.Stack.parse_template

    def parse(template: str) -> dict[str, Any]:
        parsed = plain(template)
        if parsed.get("Transform") == "AWS::Serverless-2016-10-31":
            parsed = transformed(parsed)
        resources = {
            name: resource
            for name, resource in parsed["Resources"].items()
            if resource["Type"] not in UNKNOWN
            and "Condition" not in resource  # optional parts, off in the tests
        }
        for resource in resources.values():
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
                resource["DeletionPolicy"] = "Retain"  # the only word for it that moto knows
            if resource["Type"] == "AWS::ApiGateway::RestApi":
                # moto reads the document in its own way; what is in it is asserted on the template.
                resource["Properties"] = {"Name": resource["Properties"]["Name"], "Description": ""}
        return {**parsed, "Resources": resources}

    update = parsing.parse_and_update_resource

    def updated(logical_id: str, resource: Any, resources: Any, **where: str) -> Any:
        # moto forgets a resource of a kind that it cannot update.
        return update(logical_id, resource, resources, **where) or resources[logical_id]

    update_all = parsing.ResourceMap.update

    def updated_all(resources: Any, template: dict[str, Any], parameters: Any = None) -> None:
        update_all(resources, template, parameters)
        # moto remembers what it removed, and takes it for made when it comes again.
        for name in (
            set(resources._parsed_resources) - set(template["Resources"]) - set(template["Parameters"])
        ):
            if not name.startswith("AWS::"):
                del resources._parsed_resources[name]

    with (
        mock.patch.object(cloudformation.Stack, "parse_template", staticmethod(parse)),
        mock.patch.object(parsing, "parse_and_update_resource", updated),
        mock.patch.object(parsing.ResourceMap, "update", updated_all),
    ):
        yield


@contextmanager
def apis_from_swagger() -> Iterator[None]:
    """moto's API Gateway with the documents that Chalice sends: Swagger 2, where moto reads OpenAPI 3."""
    put, make = APIGatewayBackend.put_rest_api, APIGatewayBackend.import_rest_api

    def translated(document: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in document.items() if key != "swagger"}
        return {**rest, "openapi": "3.0.1", "info": {"description": "", **document["info"]}}

    def put_api(backend: Any, identity: str, api_doc: dict[str, Any], **options: Any) -> Any:
        return put(backend, identity, translated(api_doc), **{**options, "fail_on_warnings": False})

    def import_api(backend: Any, api_doc: dict[str, Any], fail_on_warnings: bool) -> Any:
        return make(backend, translated(api_doc), fail_on_warnings=False)

    with (
        mock.patch.object(APIGatewayBackend, "put_rest_api", put_api),
        mock.patch.object(APIGatewayBackend, "import_rest_api", import_api),
    ):
        yield
