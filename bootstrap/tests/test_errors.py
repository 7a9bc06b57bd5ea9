"""What an administrator reads when something fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    UnauthorizedSSOTokenError,
)

from bootstrap.changes import DENIED_FILE, explain, explain_failure
from bootstrap.tests.world import World, answer, base_settings, hooked, refusal

DENY = "is not authorized to perform: ec2:DescribeVpcs with an explicit deny in a"


def _error(code: str, message: str = "", call: str = "DescribeVpcs") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, call)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_error("ExpiredToken"), "The login has expired"),
        (_error("RequestExpired"), "`aws sso login`"),
        (_error("AuthFailure"), "The region may not be enabled in this account"),
        (_error("OptInRequired"), "remove it from `regions`"),
        (
            _error("AccessDenied", f"role/x {DENY} service control policy"),
            "A service control policy of the organisation denies ec2:DescribeVpcs",
        ),
        (_error("UnauthorizedOperation"), "The caller needs ec2:DescribeVpcs"),
        (_error("403", call="HeadBucket"), "A bucket of another account gives"),
    ],
)
def test_a_refusal_says_what_to_do(error: ClientError, words: str) -> None:
    text = str(explain(error, "vpc-1", "in eu-west-1 as role/admin"))

    assert words in text
    assert f"{error.operation_name} on vpc-1 failed in eu-west-1 as role/admin" in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnauthorizedSSOTokenError(), "`aws sso login`"),
        (EndpointConnectionError(endpoint_url="https://x"), "Check the network"),
    ],
)
def test_a_call_without_an_answer_says_what_to_do(error: Any, words: str) -> None:
    assert words in str(explain_failure(error, "bucket"))


CONTEXT = {"action": "ec2:CreateFlowLogs", "resource": "arn:vpc-1"}
DECODED: dict[str, Any] = {
    "A service control policy of the organisation denies": {"explicitDeny": True},
    "Denied by statement `NoLogs`, for ec2:CreateFlowLogs on arn:vpc-1": {
        "explicitDeny": True,
        "matchedStatements": {"items": [{"statementId": "NoLogs"}]},
    },
    "No policy allows ec2:CreateFlowLogs on arn:vpc-1": {"explicitDeny": False},
    "decode-authorization-message": None,
}


@pytest.mark.parametrize("words", DECODED)
def test_an_encoded_reason_is_decoded_or_written_to_a_file(
    world: World, words: str
) -> None:
    encoded = "x9" * 450
    reason = DECODED[words]

    def decode(**_: Any) -> Any:
        """Answer for STS; a caller may be refused that too."""
        if reason is None:
            return refusal("AccessDenied")
        return answer(200, DecodedMessage=json.dumps({**reason, "context": CONTEXT}))

    error = _error(
        "UnauthorizedOperation",
        f"You are not authorized. Encoded authorization failure message: {encoded}",
    )
    d = world.deployment(base_settings())

    call = "before-call.sts.DecodeAuthorizationMessage"
    with hooked(world.session.events, call, decode):
        text = str(d.explained(error, "flow logs"))

    assert "x9" not in text
    assert words in text
    assert (d.settings.state_dir / DENIED_FILE).read_text() == encoded
