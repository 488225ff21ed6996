"""What a provider's error answer means, by the answers providers really give."""

import pytest
from byway_proxy.carry.refusal import classify, retry_after_s
from hypothesis import given
from hypothesis import strategies as st

WALL = 1_795_477_693.0


@pytest.mark.parametrize(
    ("status", "code", "error_type", "message", "kind"),
    [
        # OpenAI
        (429, "rate_limit_exceeded", "tokens", "Rate limit reached for gpt-5", "rate_limited"),
        (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota", "payment_required"),
        (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided", "unauthorized"),
        (400, "context_length_exceeded", "invalid_request_error", "This model's maximum…", "context_length"),
        (400, None, "invalid_request_error", "Unknown parameter: 'foo'.", "bad_request"),
        (404, "model_not_found", "invalid_request_error", "The model `x` does not exist", "model_missing"),
        (404, None, "invalid_request_error", "No previous_response with id r", "bad_request"),
        # Azure
        (400, "content_filter", None, "The response was filtered", "content_filter"),
        (404, "DeploymentNotFound", None, "The API deployment for this resource does not exist.", "model_missing"),
        # Anthropic
        (529, None, "overloaded_error", "Overloaded", "overloaded"),
        (400, None, "invalid_request_error", "prompt is too long: 210000 tokens > 200000", "context_length"),
        (400, None, "invalid_request_error", "Your credit balance is too low to access", "payment_required"),
        (403, None, "permission_error", "Your API key does not have permission", "forbidden"),
        (413, None, "request_too_large", "Request exceeds the maximum size", "too_large"),
        # Gemini says quota where it means rate
        (429, 429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check", "rate_limited"),
        (400, 400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "unauthorized"),
        (503, 503, "UNAVAILABLE", "The model is overloaded.", "overloaded"),
        # vLLM, llama.cpp
        (400, 400, "BadRequestError", "This model's maximum context length is 4096 tokens.", "context_length"),
        (503, 503, "unavailable_error", "Loading model", "overloaded"),
        # numbers alone
        (402, None, None, "", "payment_required"),
        (408, None, None, "", "timeout"),
        (409, None, None, "", "server_error"),
        (422, None, None, "", "unprocessable"),
        (500, None, None, "", "server_error"),
        (502, None, None, "", "server_error"),
        (504, None, None, "", "timeout"),
        (302, None, None, "", "bad_answer"),
        # an error inside a 200
        (200, 429, "rate_limit_error", "", "rate_limited"),
        (200, None, "overloaded_error", "", "overloaded"),
        (200, None, None, "went wrong", "bad_answer"),
    ],
)
def test_a_refusal_is_understood(status: int, code: object, error_type: object, message: str, kind: str) -> None:
    assert classify(status, code, error_type, message).kind == kind


def test_a_message_that_quotes_the_request_cannot_rest_the_account() -> None:
    quoted = "Invalid value: 'api key not valid', 'your credit balance is too low', 'insufficient balance'."
    assert classify(400, None, "invalid_request_error", quoted).kind == "bad_request"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "12"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 23:49:13 GMT"}, 1_795_477_753 - WALL),
        ({"retry-after": "Mon, 23 Nov 2026 20:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "0\x1f"}, None),
        ({"retry-after": "Mon, 31 Jun 2026 20:00:00 GMT"}, None),
        ({"retry-after": "-3"}, None),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "20ms",
            },
            360.0,
        ),
        ({"x-ratelimit-reset": str(int(WALL) + 30)}, 30.0),
        ({}, None),
    ],
)
def test_a_provider_says_in_many_ways_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, WALL) == seconds
    assert classify(429, headers=headers, wall=WALL).retry_after_s == seconds


@given(st.text(max_size=40) | st.text("0123456789.smhd :,GMTJanuMo", max_size=30))
def test_no_header_is_too_odd_to_read(text: str) -> None:
    for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-tokens"):
        told = retry_after_s({name: text}, WALL)
        assert told is None or told >= 0
